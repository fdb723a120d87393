"""Finds paths that a server may read in another way than we do."""

import re

LONGEST = 8192
# What servers differ on: empty segments, separators, NUL, % and unreserved characters in their
# encoded form, dot segments, parameters, fragments.
_AMBIGUOUS = re.compile(
    r"//|\\|;|#|(?:^|/)\.{1,2}(?:/|$)"
    r"|%(?:2[5def]|3\d|4[1-9a-f]|5[0-9acf]|6[1-9a-f]|7[0-9ae]|00)|%(?![0-9a-f]{2})",
    re.IGNORECASE,
)
_NOT_PRINTABLE = re.compile(r"[^\x21-\x7e]")


def path_doubt(path: str) -> str:
    """Say why a path is not in its one normal form (RFC 3986, 6.2.2), or answer an empty string.

    Dot segments, empty segments, encoded separators and letters, path parameters and double
    encoding are where `/v1/x/../admin` passes for something else. In the query only characters
    that may not stand in a request target at all are looked for.
    """
    if len(path) > LONGEST:
        return f"ambiguous_path: longer than {LONGEST} characters"
    if odd := _NOT_PRINTABLE.search(path):
        return f"ambiguous_path: {odd[0]!r} in the request target"
    plain = path.partition("?")[0]
    if not plain.startswith("/"):
        return "" if plain == "*" else "ambiguous_path: the path does not begin with '/'"
    found = _AMBIGUOUS.search(plain)
    return f"ambiguous_path: {found[0]!r} in the path" if found else ""
