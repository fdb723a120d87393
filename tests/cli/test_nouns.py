"""Nouns are loaded one by one, and all of them are there."""

import subprocess
import sys
from pathlib import Path

import pytest

from interlock.cli.nouns import FILES, NOUNS, Nouns

CLI = Path(__file__).resolve().parents[2] / "interlock" / "cli"
LOADED = """
import sys
from interlock.cli import app
try:
    app(["version"])
finally:
    print(*sorted(sys.modules))
"""


@pytest.mark.parametrize("name", NOUNS)
def test_every_noun_is_a_command_of_its_name(name: str) -> None:
    """What is in the list can be typed."""
    assert Nouns()[name].name == name


@pytest.mark.parametrize("name", NOUNS)
def test_help_breaks_its_lines_where_the_terminal_does(name: str) -> None:
    """Not where the source does: half a line, and the rest of it on the next."""
    command = Nouns()[name]
    for one in (command, *getattr(command, "commands", {}).values()):
        assert all("\n" not in paragraph for paragraph in (one.help or "").split("\n\n"))


def test_every_file_that_defines_a_noun_is_in_the_list() -> None:
    """A new file is not forgotten."""
    files = {FILES.get(name, name) for name in NOUNS}
    defining = {path.stem for path in CLI.glob("*.py") if "\napp = typer" in path.read_text()}
    alone = {path.stem for path in CLI.glob("*.py") if "\ndef run(\n" in path.read_text()}
    assert (defining | alone) - {"app"} <= files


def test_a_command_does_not_wait_for_what_it_does_not_need() -> None:
    """`interlock version` loads no other noun, no proxy, no database and no policy engine."""
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "interlock.cli.version" in loaded
    heavy = {"interlock.cli.agent", "interlock.installation", "mitmproxy", "sqlite_utils"}
    assert loaded & (heavy | {"cedarpy", "fastapi", "docker", "kubernetes", "ruamel.yaml"}) == set()
