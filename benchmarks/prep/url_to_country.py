"""URLs to countries: ours, tldextract, and urlsplit with publicsuffixlist."""

import importlib.util

from benchmarks.corpora.news import HOSTS, urls
from benchmarks.prep.setting import Setting
from benchmarks.processes import in_turn, run_module, said
from benchmarks.results import Row, compare, missing

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
    contenders = {"ours": lambda number: run_module("benchmarks.prep.ours.urls", str(path))}
    for name, module, mode in PEERS:
        if importlib.util.find_spec(module) is not None:
            contenders[name] = lambda number, mode=mode: run_module(
                "benchmarks.prep.peers.urls", mode, str(path)
            )
    found = in_turn(contenders, setting.rounds)
    path.unlink()
    million = 1_000_000 / count
    value = said(found["ours"], "seconds") * million
    case = f"generated, {count:,} URLs of {HOSTS:,} hosts"
    rows = []
    for name, _, _ in PEERS:
        if name not in found:
            rows.append(missing("url_to_country", value, "CPU s a million", name, case))
            continue
        peer = said(found[name], "seconds") * million
        shares = [runs[0].said["decided"] / count for runs in (found["ours"], found[name])]
        note = f"decided {shares[0]:.1%}, peer {shares[1]:.1%}; loading not counted"
        rows.append(
            compare("url_to_country", value, "CPU s a million", name, peer, "less", case, note)
        )
    return rows
