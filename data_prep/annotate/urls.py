"""URLs as the WHATWG reads them, without tracking, fragment and credentials; facts of a host."""

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

import can_ada
from publicsuffixlist import PublicSuffixList

from data_prep.annotate.credentials import without_credentials
from data_prep.annotate.wrapped import may_replay, may_wrap, unwrap
from data_prep.quarantine import Rejected
from geo_nemo.metadata.geography import likely_country, national_country

TRACKING_PREFIXES = (
    "utm_", "mtm_", "pk_", "hsa_", "at_medium", "at_campaign", "at_custom", "at_link",
    "at_format", "at_ptr", "at_bbc_", "fb_action_", "guce_",
)  # fmt: skip
# Also as single outlets call it: cmp of the Guardian, ito of the Daily Mail, smid of the New York
# Times, xtor of French papers, taid of Reuters.
TRACKING_NAMES = frozenset((
    "fbclid", "gclid", "dclid", "gbraid", "wbraid", "msclkid", "yclid", "twclid", "ttclid",
    "igshid", "mc_cid", "mc_eid", "_ga", "_gl", "_hsenc", "_hsmi", "oly_anon_id", "oly_enc_id",
    "vero_id", "wickedid", "cmpid", "ocid", "ftag", "cmp", "ito", "smid", "smtyp", "xtor", "taid",
    "fb_source", "fb_ref", "guccounter", "mkt_tok", "s_cid", "srsltid", "wt_mc", "ns_mchannel",
    "ns_source", "ns_campaign", "ns_linkname", "ns_fee", "__twitter_impression",
))  # fmt: skip
# Twice what the sitemap protocol allows; servers commonly refuse more than 8 KB of a request.
MAX_CHARACTERS = 4096
HOSTS_CACHED = 1 << 17  # some 500 bytes each
# What people write without a scheme: `bbc.co.uk/news`, `bbc.co.uk:8080`.
_BARE = re.compile(r"(?:[a-z0-9_-]+\.)+[a-z]{2,}\.?(?::\d+)?(?:[/?#]|$)", re.IGNORECASE)
_SHOWN = 200
# Its domains in countries, `x.blogspot.co.uk`, are that of whoever reads; the list of public
# suffixes has only `blogspot.com` since 2025.
_LENDER = "blogspot."


@dataclass(frozen=True, slots=True)
class Host:
    """What a host name alone tells.

    domain: registrable domain, `bbc.co.uk`; the host itself where it is an address or is under no
        public suffix.
    country: that of its national domain. None under a suffix that a company lends to its
        customers (`x.blogspot.co.uk`): such a domain is the company's, not the author's.
    likely: a country that yields to any other evidence.
    wraps: its URLs may be of other hosts' pages (data_prep.annotate.wrapped).
    """

    name: str
    domain: str
    country: str | None
    likely: str | None
    wraps: bool = False

    def __hash__(self) -> int:
        return hash(self.name)


@dataclass(slots=True)
class Url:
    """A normalised URL. `path` is path and query, with the leading slash."""

    href: str
    path: str
    host: Host


def parse_url(text: str) -> Url:
    """`text` normalised, out of caches and archives.

    Raises Rejected: `invalid_url` or `refused_url_scheme`.
    """
    url = parse(text)
    host = host_facts(url.hostname)
    if host.wraps or may_replay(url.pathname):
        url = parse(unwrap(url.href))
        host = host_facts(url.hostname)
    path, search, port = url.pathname, url.search, url.port
    if search:
        path += _without_tracking(search)
    if "@" in path or "%40" in path:  # a URL within the URL may hold credentials
        path = without_credentials(path, cut_off=False)
    if port:
        return Url(f"{url.protocol}//{host.name}:{port}{path}", path, host)
    return Url(f"{url.protocol}//{host.name}{path}", path, host)


def parse(text: str) -> can_ada.URL:
    """`text` as the WHATWG reads an http or https URL. Raises Rejected as `parse_url`."""
    if len(text) > MAX_CHARACTERS:
        raise Rejected("invalid_url", f"{len(text)} characters, over {MAX_CHARACTERS}")
    if "&amp;" in text:
        text = text.replace("&amp;", "&")  # as markup writes it
    if not text.startswith(("https://", "http://")):
        text = text.strip().removeprefix("<![CDATA[").removesuffix("]]>").strip()
        if text.startswith("//"):
            text = "https:" + text
        elif text[:1] in "<\"'" and text[-1:] in ">\"'":
            text = text[1:-1].strip()  # as mail and tables write it
        elif "://" not in text and _BARE.match(text):
            text = "https://" + text
    try:
        url = can_ada.parse(text)
    except (ValueError, TypeError):  # a lone surrogate is no text for can_ada
        raise Rejected("invalid_url", f"cannot be parsed: {_shown(text)}") from None
    if url.protocol not in ("https:", "http:"):
        raise Rejected("refused_url_scheme", f"scheme {url.protocol} of {_shown(text)}")
    return url


@lru_cache(HOSTS_CACHED)
def host_facts(hostname: str) -> Host:
    """Facts of a host name in the WHATWG's form (lower case, ASCII). Raises Rejected."""
    name = hostname.removesuffix(".")
    if name.startswith("[") or name.rpartition(".")[2].isdigit():
        return Host(name, domain=name, country=None, likely=None)
    if "." not in name.strip("."):
        raise Rejected("invalid_url", f"host {name!r} is no public name")
    suffixes, registries = _suffix_lists()
    domain = suffixes.privatesuffix(name) or name
    lent = suffixes.publicsuffix(name) != registries.publicsuffix(name)
    if domain.startswith(_LENDER):
        author = name.removesuffix(domain).rstrip(".").rpartition(".")[2]
        domain, lent = f"{author}.{domain}" if author else domain, True
    return Host(
        name,
        domain=domain,
        country=None if lent else national_country(name),
        likely=likely_country(name),
        wraps=may_wrap(name),
    )


@cache
def _suffix_lists() -> tuple[PublicSuffixList, PublicSuffixList]:
    """All public suffixes, and those of registries alone; made when a host is first asked for.

    As PublicSuffixList makes them, which takes a third of a second to write each ASCII rule in
    ASCII.
    """
    text = (files("publicsuffixlist") / "public_suffix_list.dat").read_text("utf-8")
    _, _, rest = text.partition("// ===BEGIN ICANN DOMAINS===\n")
    registries, _, _ = rest.partition("// ===END ICANN DOMAINS===\n")
    return _suffixes(text), _suffixes(registries)


def _suffixes(text: str) -> PublicSuffixList:
    rules = [line for line in text.split("\n") if line and not line.startswith("//")]
    wide = [rule for rule in rules if not rule.isascii()]
    return PublicSuffixList(
        rules + [rule.encode("idna").decode() for rule in wide],
        accept_unknown=False,
        accept_encoded_idn=False,
    )


def _without_tracking(search: str) -> str:
    """`search` (with its `?`) without the parameters that only follow a reader around."""
    kept = [part for part in search[1:].split("&") if part and not _is_tracking(part)]
    return "?" + "&".join(kept) if kept else ""


def _is_tracking(parameter: str) -> bool:
    name = parameter.partition("=")[0].lower()
    return name in TRACKING_NAMES or name.startswith(TRACKING_PREFIXES)


def _shown(text: str) -> str:
    """`text` as an error may show it."""
    return repr(without_credentials(text[:_SHOWN]))
