"""URLs of caches, archives and redirects, unwrapped to the page's own.

| kind | example |
|---|---|
| AMP caches | `www-bbc-com.cdn.ampproject.org/c/s/www.bbc.com/news/1`, `google.com/amp/s/...` |
| archives | `web.archive.org/web/2020id_/https://...`, `archive.is/2020/https://...` |
| caches | `webcache.googleusercontent.com/search?q=cache:ID:https://...` |
| translations | `www-bbc-com.translate.goog/news/1`, `translate.google.com/translate?u=...` |
| redirects | `google.com/url?q=...`, `l.facebook.com/l.php?u=...`, `href.li/?https://...` |
"""

import re
from urllib.parse import parse_qs, unquote

# Most hosts are none of these, and their URLs are looked at no further: a search through every URL
# took 3% of ingest.
_HOSTS = re.compile(
    r"ampproject\.org|goog|archive\.|12ft\.io|facebook\.com|umblr\.com|reddit\.com|outlook\.com|"
    r"youtube\.com|\bbing\.com|bing-amp\.com|megalodon\.jp|turbopages\.org"
)
# Behind the address of these another one stands whole, in the path or as a parameter.
_WRAPPERS = frozenset((
    "l.instagram.com", "duckduckgo.com", "linkedin.com", "href.li", "removepaywall.com",
    "r.jina.ai", "removepaywalls.com", "outline.com", "cc.bingj.com", "translate.yandex.com",
    "urldefense.com",
    "translate.yandex.ru", "microsofttranslator.com", "translatetheweb.com",
    "r.search.yahoo.com",
    "out.reddit.com", "wayback.archive-it.org", "webarchive.nationalarchives.gov.uk", "arquivo.pt",
    "webarchive.org.uk", "webarchive.loc.gov", "vefsafn.is", "web.archive.org",
    "steamcommunity.com", "via.hypothes.is", "wayback.vefsafn.is", "turbo.yandex.ru",
    "slack-redir.net", "nullrefer.com", "anonym.to", "getpocket.com", "protect-us.mimecast.com",
))  # fmt: skip
_WHOLE = re.compile(r"https?(?::|%3a)(?:/|%2f){1,2}[^&\s]+", re.IGNORECASE)
_BEHIND_IT = re.compile(r"__;.*|/RK=.*", re.DOTALL)  # of urldefense and Yahoo
_MEGALODON = re.compile(r"https?://megalodon\.jp/[\d-]+/(?:https?:/{1,2})?(.+)")
_AMP = re.compile(
    r"https?://[^/]*(?:ampproject\.org|bing-amp\.com|(?:google|bing)\.[a-z.]+)/(?:amp|wp|[civ])/(s/)?(.+)"
)
_BEHIND = re.compile(
    r"https?://(?:[^/]*\.)?(?:archive\.org/web|archive\.(?:is|ph|today|md|li|vn|fo)|12ft\.io)"
    r"(?:/[^/]*)*?/((?:https?:/{1,2}|www\.).+)"
)
# As archives of any host replay pages: behind the day, or the moment, of the copy.
_REPLAYED = re.compile(
    r"https?://[^/]+/(?:[^/]+/)*?\d{8,14}(?:[a-z]{2}_)?\*?/(https?:/{1,2}[^/]+\..+)"
)
_TURBO = re.compile(r"https?://translated\.turbopages\.org/proxy_u/[^/]+/(https?)/([^/]+\..+)")
_BARE = re.compile(
    r"https?://web\.archive\.org/web/\d{4,14}(?:[a-z]{2}_)?/((?:[\w-]+\.)+[a-z].+)", re.I
)
_CACHE = re.compile(r"[?&]q=cache(?::|%3A)(?:[\w-]{1,16}(?::|%3A)(?!//|%2F))?([^&+ ]+)", re.I)
_TRANSLATED = re.compile(r"https?://([^/]+)\.translate\.goog(/.*)?")
_REDIRECT = re.compile(
    r"https?://(?:www\.google\.[a-z.]+/url|(?:www\.)?google\.[a-z.]+/url|(?:lm?|www|m)\.facebook\.com/l\.php|"
    r"t\.umblr\.com/redirect|out\.reddit\.com/|translate\.google\.[a-z.]+/(?:translate|website)|"
    r"www\.bing\.com/news/apiclick\.aspx|(?:[a-z0-9]+\.)?safelinks\.protection\.outlook\.com/|12ft\.io/(?:proxy)?|www\.youtube\.com/redirect)\?(.+)"
)
_PARAMETERS = ("q", "url", "u", "z")
_MOST = 3  # wrappers around one another


def may_wrap(host: str) -> bool:
    """Whether URLs of a host may be of other hosts' pages; in lower case."""
    return host.removeprefix("www.") in _WRAPPERS or _HOSTS.search(host) is not None


def may_replay(path: str) -> bool:
    """Whether a path, of whatever host, may be that of an archive's copy of another page."""
    return "/http" in path


def unwrap(url: str) -> str:
    """The page's own URL; `url` itself where it is that already, as of hosts that wrap nothing."""
    for _ in range(_MOST):
        inner = _inner(url)
        if not inner:
            return url
        url = inner
    return url


def _inner(url: str) -> str:
    if found := _AMP.match(url):
        secure, rest = found.groups()
        # Not every `/amp/` of a host is a page of another one.
        return f"http{'s' * bool(secure)}://{rest}" if "." in rest.partition("/")[0] else ""
    if found := _TURBO.match(url):
        return f"{found[1]}://{found[2]}"
    if found := _BEHIND.match(url) or _BARE.match(url) or _REPLAYED.match(url):
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
    if found := _MEGALODON.match(url):
        return _whole(found[1])
    if url.split("/", 3)[2].removeprefix("www.") in _WRAPPERS and (found := _WHOLE.search(url, 8)):
        text = _BEHIND_IT.sub("", found[0])
        return (
            unquote(text) if "%3a" in text[:10].lower() else re.sub(":/{1,2}", "://", text, count=1)
        )
    return ""


def _whole(text: str) -> str:
    """`text` as a URL, where it is one."""
    if text.startswith(("http://", "https://")):
        return text
    return f"https://{text}" if re.match(r"[\w-]+(?:\.[\w-]+)+(?:/|$)", text) else ""
