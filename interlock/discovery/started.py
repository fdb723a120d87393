"""What a command line starts, without what that is given: a test of a server is no server."""

import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path


def interprets(word: str) -> bool:
    """Say whether this is a program that runs what it is told to."""
    return Path(word).name.startswith(tuple(_ways()["interpreters"]))


def started(words: Sequence[str]) -> list[str]:
    """The words of a command up to the program, module or script that it is about."""
    return [words[0], *_up_to_what_runs(words[1:])] if interprets(words[0]) else [words[0]]


def line_of(words: Sequence[str]) -> str:
    """These words, a program without its folder: that may be a project of any name."""
    first, *others = words
    shown = (Path(w).name if Path(w).parent.name in ("bin", ".bin") else w for w in others)
    return " ".join((Path(first).name, *shown))


def _up_to_what_runs(words: Sequence[str]) -> Iterator[str]:
    ways, given = _ways(), False
    for word in words:
        yield word
        if word.startswith("-"):
            given = word in ways["valued"]
        elif given:
            given = False
        elif Path(word).name not in ways["starters"] and not interprets(word):
            return


@cache
def _ways() -> dict[str, list[str]]:
    ways: dict[str, list[str]] = tomllib.loads(
        files("interlock.discovery").joinpath("started.toml").read_text("utf-8")
    )
    return ways
