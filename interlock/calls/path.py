"""One spelling for one path, or the reason why a server may read it in another way than we do."""

import re
import unicodedata
from functools import lru_cache
from urllib.parse import unquote_to_bytes

LONGEST = 8192
# What servers differ on: empty segments, separators, parameters, % and unreserved characters in
# their encoded form, dot segments, fragments.
_AMBIGUOUS = re.compile(
    r"//|\\|;|#|(?:^|/)\.{1,2}(?:/|$)"
    r"|%(?:2[5def]|3[\db]|4[1-9a-f]|5[0-9acf]|6[1-9a-f]|7[0-9ae])|%(?![0-9a-f]{2})",
    re.IGNORECASE,
)
_NOT_PRINTABLE = re.compile(r"[^\x21-\x7e]")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
# What becomes a separator, a dot or an escape where a server normalises text (NFKC, "best fit").
_SPECIAL = frozenset("/\\.%;?#")
_LOOKALIKES = frozenset("\u2044\u2215\u2216\u29f5\u29f8\u29f9")


def canonical_target(target: str) -> str:
    """Write a request target in its normal form (RFC 3986, 6.2.2.1): escapes in upper case.

    Everything else that has two spellings is not brought into one but refused, see `path_doubt`.
    The query stays as it is.
    """
    if "%" not in target:
        return target
    plain, mark, query = target.partition("?")
    return _ESCAPE.sub(lambda found: found[0].upper(), plain) + mark + query


def path_doubt(path: str) -> str:
    """Say why a path is not in its one normal form (RFC 3986, 6.2.2), or answer an empty string.

    Dot segments, empty segments, encoded separators and letters, path parameters, double and
    overlong encoding are where `/v1/x/../admin` passes for something else. In the query only
    characters that may not stand in a request target at all are looked for.
    """
    if len(path) > LONGEST:
        return f"ambiguous_path: longer than {LONGEST} characters"
    if odd := _NOT_PRINTABLE.search(path):
        return f"ambiguous_path: {odd[0]!r} in the request target"
    return _doubt_in(path.partition("?")[0])


@lru_cache(256)  # the paths of an API are few, and its agents call the same ones
def _doubt_in(plain: str) -> str:
    """The same for a path without its query, as long as one may be."""
    if not plain.startswith("/"):
        return "" if plain == "*" else "ambiguous_path: the path does not begin with '/'"
    if found := _AMBIGUOUS.search(plain):
        return f"ambiguous_path: {found[0]!r} in the path"
    return _odd_text(plain) if "%" in plain else ""


def _odd_text(plain: str) -> str:
    """Say what in an encoded path is no plain text; overlong forms are no UTF-8 at all."""
    try:
        text = unquote_to_bytes(plain).decode()
    except UnicodeDecodeError:
        return "ambiguous_path: encoded bytes in the path that are not UTF-8"
    normal = unicodedata.normalize("NFKC", text)
    if not text.replace(" ", "").isprintable():
        return "ambiguous_path: an encoded control character in the path"
    if _LOOKALIKES & set(text) or any(normal.count(one) > text.count(one) for one in _SPECIAL):
        return "ambiguous_path: a character in the path that passes for a separator or a dot"
    return ""
