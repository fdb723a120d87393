"""Reads configuration files as people write them: JSON with comments, TOML and YAML."""

import errno
import json
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from interlock.discovery.words import clean

LONGEST_FILE = 2_000_000
# To parse YAML takes a hundred times as long.
LONGEST_YAML = 64_000
# A string, or what is to go: comments and commas before a closing bracket. What is not closed goes
# on to the end, so that no text is read twice.
_COMMENT = re.compile(r'("(?:\\.|[^"\\])*+"?)|//[^\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL)
_COMMA = re.compile(r'("(?:\\.|[^"\\])*+"?)|,(?=\s*+[}\]])', re.DOTALL)
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def read(path: Path) -> dict[str, Any]:
    """Read a file by its suffix; raises ValueError with a reason, OSError when it cannot."""
    parse = _PARSERS.get(path.suffix, parse_json)
    most = LONGEST_YAML if parse is parse_yaml else LONGEST_FILE
    content = begin(path, most + 1)
    if len(content) > most:
        raise ValueError(f"it is longer than {most} bytes")
    try:
        found = parse(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it holds no object")
    return found


def begin(path: Path, most: int) -> bytes:
    """The first bytes of a file, without ever waiting for them; raises OSError.

    A link may lead to what looks like a file and is none, such as the log of the kernel.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "is no file")
        return file.read(most) or b""


def parse_json(content: bytes) -> Any:
    """Parse JSON, comments and trailing commas allowed; raises ValueError."""
    text = content.decode("utf-8-sig")
    plain = _COMMA.sub(r"\1", _COMMENT.sub(lambda found: found[1] or " ", text))
    return json.loads(plain)


def parse_toml(content: bytes) -> Any:
    """Parse TOML; raises ValueError."""
    return tomllib.loads(content.decode("utf-8-sig"))


def parse_yaml(content: bytes) -> Any:
    """Parse YAML without making any object but plain ones; raises ValueError."""
    try:
        return YAML(typ="safe", pure=True).load(BytesIO(content))
    except YAMLError as e:
        raise ValueError(clean(" ".join(str(e).split()), 120)) from None


def expand(text: str, environ: Mapping[str, str], home: Path) -> Path | None:
    """The path that a person wrote with `~` and `${VAR}`; None when a variable is not set."""
    if any(name not in environ for name in _VARIABLE.findall(text)):
        return None
    whole = _VARIABLE.sub(lambda found: environ[found[1]], text)
    if whole == "~" or whole.startswith("~/"):
        return home / whole[2:]
    return Path(whole)


_PARSERS = {".toml": parse_toml, ".yaml": parse_yaml, ".yml": parse_yaml}
