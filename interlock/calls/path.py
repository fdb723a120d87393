"""Finds paths that a server may read in another way than we do."""

import re

_AMBIGUOUS = re.compile(
    r"//|\\|;|%(?:2f|5c|00|25)|(?:^|/)(?:\.|%2e){1,2}(?:/|$)|%(?![0-9a-f]{2})|[^\x21-\x7e]",
    re.IGNORECASE,
)


def path_doubt(path: str) -> str:
    """Say why a path is not in its one normal form (RFC 3986, 6.2.2), or answer an empty string.

    Dot segments, empty segments, encoded separators, path parameters and double encoding are
    where `/v1/x/../admin` passes for something else. The query is not looked at.
    """
    plain = path.partition("?")[0]
    if not plain.startswith("/"):
        return "" if plain == "*" else "ambiguous_path: the path does not begin with '/'"
    found = _AMBIGUOUS.search(plain)
    return f"ambiguous_path: {found[0]!r} in the path" if found else ""
