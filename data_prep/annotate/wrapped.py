"""URLs of caches, archives and redirects, unwrapped to the page's own.

| kind | example |
|---|---|
| AMP caches | `www-bbc-com.cdn.ampproject.org/c/s/www.bbc.com/news/1`, `google.com/amp/s/...` |
| archives | `web.archive.org/web/2020id_/https://...`, `archive.is/2020/https://...` |
| caches | `webcache.googleusercontent.com/search?q=cache:ID:https://...` |
| translations | `www-bbc-com.translate.goog/news/1`, `translate.google.com/translate?u=...` |
| redirects | `google.com/url?q=...`, `l.facebook.com/l.php?u=...` |
"""

import re
from urllib.parse import parse_qs, unquote

# Most hosts are none of these, and their URLs are looked at no further: a search through every URL
# took 3% of ingest.
_HOSTS = re.compile(
    r"ampproject\.org|goog|archive\.|12ft\.io|facebook\.com|umblr\.com|reddit\.com|outlook\.com|"
    r"youtube\.com"
)
_HINT = re.compile(
    r"ampproject|/amp/|archive|cache|translate|/url\?|redirect|/l\.php|12ft|out\.reddit|safelinks"
)
_AMP = re.compile(r"https?://[^/]*(?:ampproject\.org|google\.[a-z.]+)/(?:amp|[civ])/(s/)?(.+)")
_BEHIND = re.compile(
    r"https?://(?:[^/]*\.)?(?:archive\.org/web|archive\.(?:is|ph|today|md|li|vn|fo)|12ft\.io)"
    r"(?:/[^/]*)*?/((?:https?:/{1,2}|www\.).+)"
)
_CACHE = re.compile(r"[?&]q=cache(?::|%3A)(?:[\w-]{8,16}(?::|%3A))?([^&+ ]+)")
_TRANSLATED = re.compile(r"https?://([^/]+)\.translate\.goog(/.*)?")
_REDIRECT = re.compile(
    r"https?://(?:www\.google\.[a-z.]+/url|(?:www\.)?google\.[a-z.]+/url|lm?\.facebook\.com/l\.php|"
    r"t\.umblr\.com/redirect|out\.reddit\.com/|translate\.google\.[a-z.]+/translate|"
    r"[a-z0-9]+\.safelinks\.protection\.outlook\.com/|www\.youtube\.com/redirect)\?(.+)"
)
_PARAMETERS = ("q", "url", "u", "z")
_MOST = 3  # wrappers around one another


def may_wrap(host: str) -> bool:
    """Whether URLs of a host may be of other hosts' pages; in lower case."""
    return _HOSTS.search(host) is not None


def unwrap(url: str) -> str:
    """The page's own URL; `url` itself where it is that already, as of hosts that wrap nothing."""
    for _ in range(_MOST):
        inner = _inner(url) if _HINT.search(url) else ""
        if not inner:
            return url
        url = inner
    return url


def _inner(url: str) -> str:
    if found := _AMP.match(url):
        secure, rest = found.groups()
        # Not every `/amp/` of a host is a page of another one.
        return f"http{'s' * bool(secure)}://{rest}" if "." in rest.partition("/")[0] else ""
    if found := _BEHIND.match(url):
        return re.sub(r"^(?:(https?):/{1,2})?", lambda m: f"{m[1] or 'https'}://", found[1])
    if "webcache.googleusercontent." in url and (found := _CACHE.search(url)):
        return _whole(unquote(found[1]))
    if found := _TRANSLATED.match(url):
        # Two hyphens stand for one, and one for a dot.
        host = found[1].replace("--", "\0").replace("-", ".").replace("\0", "-")
        return f"https://{host}{re.sub(r'[?&]_x_tr_[^&]*', '', found[2] or '/')}"
    if found := _REDIRECT.match(url):
        query = parse_qs(found[1])
        return next((_whole(query[n][0]) for n in _PARAMETERS if n in query), "")
    return ""


def _whole(text: str) -> str:
    """`text` as a URL, where it is one."""
    if text.startswith(("http://", "https://")):
        return text
    return f"https://{text}" if re.match(r"[\w-]+(?:\.[\w-]+)+(?:/|$)", text) else ""
