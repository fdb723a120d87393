"""Reads configuration files as people write them: JSON with comments, TOML and YAML."""

import json
import re
import tomllib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from interlock.discovery.words import clean

LONGEST_FILE = 2_000_000
# A string, or what is to go: comments and commas before a closing bracket.
_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_COMMA = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])', re.DOTALL)
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def read(path: Path) -> dict[str, Any]:
    """Read a file by its suffix; raises ValueError with a reason, OSError when it cannot."""
    with path.open("rb") as file:
        content = file.read(LONGEST_FILE + 1)
    if len(content) > LONGEST_FILE:
        raise ValueError(f"it is longer than {LONGEST_FILE} bytes")
    try:
        found = _PARSERS.get(path.suffix, parse_json)(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it holds no object")
    return found


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
