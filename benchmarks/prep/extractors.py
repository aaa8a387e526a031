"""Text of saved pages: ours|trafilatura|resiliparse FOLDER, which has html/ and ground-truth.json.

Seconds are of the extraction alone, from the bytes of a page to its text; ours also finds title,
date and address, and cuts the title where it stands again in the text.
"""

import gzip
import sys
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from benchmarks.prep.contender import say
from benchmarks.prep.shingles import compare_texts, quality

TRUTH, PAGES = "ground-truth.json", "html"
# Rules and numbers are chosen on the first; the second tells how they do elsewhere.
HALVES = ("dev", "rest")


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    truth = orjson.loads((folder / TRUTH).read_bytes())
    pages = {
        key: gzip.decompress((folder / PAGES / f"{key}.html.gz").read_bytes()) for key in truth
    }
    extract = {"ours": ours, "trafilatura": trafilatura, "resiliparse": resiliparse}[name]()
    started = time.process_time()
    found = {key: extract(page) for key, page in pages.items()}
    seconds = time.process_time() - started
    compared = {key: compare_texts(truth[key]["articleBody"], found[key]) for key in truth}
    parts = {half: quality([compared[key] for key in truth if half_of(key) == half])
             for half in HALVES}  # fmt: skip
    whole = quality(list(compared.values()))
    say(seconds=seconds, pages=len(pages), **whole._asdict(),
        **{half: part.f1 for half, part in parts.items()})  # fmt: skip


def half_of(key: str) -> str:
    """Of the two halves that of a page, by the hash that is its name."""
    return HALVES[int(key[:8], 16) % 2]


def ours() -> Callable[[bytes], str]:
    from data_prep.read.html_worker import extract
    from data_prep.read.warc import page_fields

    def text(page: bytes) -> str:
        found = extract(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + page, 1 << 28)
        return "" if "error" in found else page_fields({"url": ""}, found)["text"]

    return text


def trafilatura() -> Callable[[bytes], str]:
    from trafilatura import extract

    return lambda page: extract(page, include_comments=False) or ""


def resiliparse() -> Callable[[bytes], str]:
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    def text(page: bytes) -> str:
        html = bytes_to_str(page, detect_encoding(page))
        return extract_plain_text(html, main_content=True)

    return text


if __name__ == "__main__":
    main()
