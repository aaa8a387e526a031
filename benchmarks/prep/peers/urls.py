"""URL to registrable domain and the country of its suffix: tldextract|publicsuffixlist FILE.

The country is a look-up of the suffix's last label; the suffix lists are those that come with the
packages.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.prep.contender import say
from geo_nemo.metadata.geography import countries

GENERIC = {"co", "tv", "io", "ai", "me", "cc", "ws", "fm", "to", "ly"}


def main() -> None:
    mode, path = sys.argv[1:]
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    suffix = {"tldextract": by_tldextract, "publicsuffixlist": by_publicsuffixlist}[mode]()
    national = {code: code for code in countries()} | {"uk": "gb"}
    for code in GENERIC:
        national.pop(code, None)
    suffix(lines[0])
    decided = 0
    started = time.process_time()
    for line in lines:
        decided += national.get(suffix(line).rpartition(".")[2]) is not None
    say(seconds=time.process_time() - started, decided=decided)


def by_tldextract() -> Callable[[str], str]:
    """Without the network and without a cache folder."""
    import tldextract

    extract = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=())
    return lambda url: extract(url).suffix


def by_publicsuffixlist() -> Callable[[str], str]:
    from publicsuffixlist import PublicSuffixList

    known = PublicSuffixList(accept_unknown=False)

    def suffix(url: str) -> str:
        host = urlsplit(url).hostname or ""
        return (known.privatesuffix(host) and known.publicsuffix(host)) or ""

    return suffix


if __name__ == "__main__":
    main()
