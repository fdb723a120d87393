"""Makes what strangers wrote harmless: names that the registry takes, text of bounded length."""

import hashlib
import re

LONGEST_NAME = 64
LONGEST_TEXT = 200
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


def clean(text: object, longest: int = LONGEST_TEXT) -> str:
    """Write a value on one printable line of bounded length."""
    head = str(text)[: longest + 1]
    shown = "".join(c if c.isprintable() else _escaped(c) for c in head)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def name_of(text: str) -> str:
    """Make a name for the registry of a text; never empty."""
    name = _NOT_IN_NAMES.sub("-", text[: LONGEST_NAME * 4]).strip("._-")[:LONGEST_NAME]
    return name.rstrip("._-") or "unnamed"


def digest(*parts: object) -> str:
    """A short fingerprint of some values, the same in every run."""
    joined = "\0".join(map(str, parts)).encode(errors="surrogatepass")
    return hashlib.sha256(joined).hexdigest()[:16]


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()
