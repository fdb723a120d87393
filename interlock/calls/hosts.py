"""Where a secret may go, as people write it: a host, or a pattern of hosts that is safe."""

from dataclasses import replace

from interlock.calls.authority import parse_authority
from interlock.calls.path import path_doubt
from interlock.model import Authority
from interlock.pattern import host_objection, is_pattern, path_objection

# What stands for the `*` while the rest is brought into canonical form.
_STAND_IN = "interlock-any"


def parse_destination(text: str) -> Authority:
    """Read HOST[:PORT], where one `*` may stand for one label of HOST or a part of it.

    Raises ValueError with one line for a pattern that could mean a stranger's host.
    """
    if "/" in text:
        raise ValueError(f"{text[:80]!r} is not HOST or HOST:PORT")
    if not is_pattern(text):
        return parse_authority(text)
    if not text.isascii() or _STAND_IN in text.lower():
        raise ValueError(f"{text[:80]!r}: write a pattern in ASCII")
    try:
        found = parse_authority(text.replace("*", _STAND_IN, 1))
    except ValueError:
        raise ValueError(f"{text[:80]!r} is not a pattern of hosts such as *.example.com") from None
    pattern = found.host.replace(_STAND_IN, "*", 1)
    if objection := host_objection(pattern):
        raise ValueError(f"{text[:80]!r}: {objection}")
    return replace(found, host=pattern)


def parse_path_pattern(text: str) -> str:
    """Read a path such as `/v1/files` or `/repos/acme/*`; raises ValueError."""
    plain = text if text == "/" else text.rstrip("/")
    if objection := path_objection(plain) or path_doubt(plain.replace("*", "a")):
        raise ValueError(f"{text[:80]!r}: {objection}")
    return plain
