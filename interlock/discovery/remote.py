"""Where another registry is, and the key that opens it: as a configuration file says it."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Remote:
    """The API of a registry elsewhere; `ca` is a file of further authorities, empty for none."""

    url: str
    api_key: str = field(repr=False)
    ca: str = ""


def parse_api_key(text: str) -> str:
    """Read a key, with `${VARIABLE}` for what the environment holds; raises ValueError."""
    if unknown := [name for name in _VARIABLE.findall(text) if name not in os.environ]:
        raise ValueError(f"the environment has no {unknown[0]}")
    key = _VARIABLE.sub(lambda found: os.environ[found[1]], text)
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("use the key of a scanner: interlock token add NAME --role scanner")
    return key


def parse_ca(text: str) -> str:
    """Read the name of a file of authorities that is there; raises ValueError."""
    path = Path(text).expanduser()
    if text and not path.is_file():
        raise ValueError(f"there is no file {text[:80]!r}")
    return str(path) if text else ""
