"""User names and passwords out of URLs in any text: excerpts, details of errors, query strings.

It removes too much rather than too little: what it is used on is for reading only, or is a part of
a URL in which a credential has no business.
"""

import re

# Bounds the work on hostile text; a longer credential is cut off in an excerpt anyway.
_LONGEST = 300
# How a URL's authority begins. The WHATWG's parser takes `https:user:pw@host`, any number of
# slashes, and backslashes for slashes, and passes over tabs and line ends anywhere; in JSON each of
# them may be escaped.
_SLASHES = r"(?:\\[nrt]|\\u000[9ad]|[\\/\t\n\r])*"
# Slashes alone are looked at from the first of them: each again would take the square of the time.
_START = rf"(?:(?:https?|ftp):|(?<![\\/])\\?/\\?/){_SLASHES}"
# A quotation mark that ends a string of JSON, an attribute of HTML or a quotation.
_QUOTE = r'"(?=\s|[,}\]>]|\Z)'
_WHOLE = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # Up to the last @ before a slash; a password may hold spaces and escaped quotes.
        rf'({_START})(?:\\[^/]|[^/?#"\\]|(?!{_QUOTE})"){{0,{_LONGEST}}}@',
        # A password with a slash in it: no URL, but somebody's password. `host:8080/@name` stays.
        rf'({_START})[^/?#"\s\\@:]{{0,{_LONGEST}}}:(?!\d+[/?#\\])[^"\s]{{0,{_LONGEST}}}@',
        # Without a scheme: `user:password@host.org`.
        r'()(?<![^\s"\'(<=])[^\s/@:"]+:[^\s/@"]+@(?=[\w-]+\.\w)',
        # Percent-encoded, in a parameter that holds a URL.
        r"(%2F%2F)(?:(?!%2F|%3F|%23)[^&/?#\s\"])*(?:%40|@)",
    )
)
# Cut off before the @.
_CUT = re.compile(rf'({_START})[^/?#"\s\\@:]*:(?!\d+[/?#"\s\\])[^"@]*\Z', re.IGNORECASE)


def without_credentials(text: str, *, cut_off: bool = True) -> str:
    """`text` without the user name and password of any URL in it.

    cut_off: `text` may end within a URL, so that what looks like the start of a password goes too.
    """
    for pattern in _WHOLE:
        text = pattern.sub(r"\1", text)
    return _CUT.sub(r"\1", text) if cut_off else text
