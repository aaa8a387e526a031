"""Text of news pages beside trafilatura and resiliparse: F1 and CPU seconds, in the same rounds."""

from pathlib import Path

from benchmarks.machine import reason_against
from benchmarks.prep.extractors import PAGES, TRUTH
from benchmarks.prep.setting import Setting
from benchmarks.processes import OURS, in_turn, run_module, said
from benchmarks.results import Row, compare
from geo_nemo.common.errors import UserError

PEERS = ("trafilatura", "resiliparse")


def measure(setting: Setting) -> list[Row]:
    """Rows for each peer; none where no checkout is given."""
    checkout = setting.extraction
    if checkout is None:
        return []
    check(checkout)
    reasons = {name: reason for name in PEERS if (reason := reason_against(name))}
    contenders = {
        name: lambda number, name=name: run_module(
            "benchmarks.prep.extractors", name, str(checkout.resolve())
        )
        for name in (OURS, *PEERS)
        if name not in reasons
    }
    found = in_turn(contenders, setting.rounds, reasons)
    rows = []
    case = f"{found[OURS][0].said['pages']} saved pages"
    for name in PEERS:
        runs = found.get(name)
        for metric, key, unit, better in (
            ("extraction_f1", "f1", "F1", "more"),
            ("extraction_seconds", "seconds", "CPU s", "less"),
        ):
            note = "without start-up" if key == "seconds" else _parts(found[OURS], runs)
            rows.append(
                compare(
                    metric, said(found[OURS], key), unit, name, said(runs, key) if runs else None,
                    better, case, note, reasons.get(name, ""),
                )
            )  # fmt: skip
    return rows


def check(checkout: Path) -> None:
    """UserError where the folder is no checkout of article-extraction-benchmark."""
    if not (checkout / TRUTH).is_file() or not (checkout / PAGES).is_dir():
        raise UserError(
            f"--extraction {checkout}: no {TRUTH} and {PAGES}/ in it: give a checkout of "
            "github.com/scrapinghub/article-extraction-benchmark"
        )


def _parts(ours: list, peer: list | None) -> str:
    def told(runs: list) -> str:
        names = ("dev", "rest", "precision", "recall")
        return ", ".join(f"{name} {said(runs, name):.4f}" for name in names)

    return f"ours: {told(ours)}; peer: {told(peer)}" if peer else ""
