"""URLs to countries: ours, tldextract, and urlsplit with publicsuffixlist."""

from benchmarks.corpora.news import HOSTS, urls
from benchmarks.machine import reason_against
from benchmarks.prep.setting import Setting
from benchmarks.processes import OURS, in_turn, run_module, said
from benchmarks.results import Row, compare

QUICK_URLS, FULL_URLS = 200_000, 1_000_000
# Name, module that it needs, mode of benchmarks.prep.peers.urls.
PEERS = (
    ("tldextract", "tldextract", "tldextract"),
    ("urlsplit + publicsuffixlist", "publicsuffixlist", "publicsuffixlist"),
)


def measure(setting: Setting) -> list[Row]:
    count = setting.either(QUICK_URLS, FULL_URLS)
    path = setting.folder / "urls.txt"
    path.write_text("".join(f"{url}\n" for url in urls(count)), encoding="utf-8")
    contenders = {OURS: lambda number: run_module("benchmarks.prep.ours.urls", str(path))}
    for name, _, mode in PEERS:
        contenders[name] = lambda number, mode=mode: run_module(
            "benchmarks.prep.peers.urls", mode, str(path)
        )
    reasons = {name: reason for name, module, _ in PEERS if (reason := reason_against(module))}
    found = in_turn(
        {n: c for n, c in contenders.items() if n not in reasons}, setting.rounds, reasons
    )
    path.unlink()
    seconds = {name: said(runs, "seconds") * 1_000_000 / count for name, runs in found.items()}
    decided = {name: f"{runs[0].said['decided'] / count:.1%}" for name, runs in found.items()}
    return [
        compare(
            "url_to_country", seconds[OURS], "CPU s a million", name, seconds.get(name), "less",
            f"generated, {count:,} URLs of {HOSTS:,} hosts",
            f"decided {decided[OURS]}, peer {decided.get(name)}; loading not counted",
            reasons.get(name, ""),
        )
        for name, _, _ in PEERS
    ]  # fmt: skip
