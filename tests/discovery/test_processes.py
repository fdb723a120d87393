"""Agents among the processes of this machine, found by what they import and how they are called."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from interlock.discovery.depth import PRESETS
from interlock.discovery.processes import Processes
from interlock.discovery.sighting import Sighting

KEY = "sk-CANARY0123456789abcdefghijklmnop"
WAITS = "import sys; print(flush=True); sys.stdin.read()\n"


@pytest.fixture
def start() -> Iterator[Any]:
    """Start a program that waits, and end it with the test."""
    with ExitStack() as stack:

        def run(*command: str, **environ: str) -> int:
            process = stack.enter_context(
                subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ
                )
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()
            return process.pid

        yield run


def test_finds_what_imports_a_framework_or_holds_a_key(tmp_path: Path, start: Any) -> None:
    """And neither a plain program, nor a tool that a key is handed on to, nor any value."""
    scripts = {
        "crew_x.py": f"{WAITS}\nfrom crewai import Agent\n",
        "keyed_x.py": WAITS,
        "plain_x.py": WAITS,
    }
    for name, text in scripts.items():
        (tmp_path / name).write_text(text)
    start(sys.executable, str(tmp_path / "crew_x.py"), "--token", KEY)
    start(sys.executable, str(tmp_path / "keyed_x.py"), ANTHROPIC_API_KEY=KEY)
    start(sys.executable, str(tmp_path / "plain_x.py"))
    start("/bin/sh", "-c", "echo; read x; exit # plain_x", OPENAI_API_KEY=KEY)
    told = list(Processes(PRESETS["enterprise-standard"]).scan())
    found = {one.name: one for one in told if isinstance(one, Sighting) and "_x" in one.name}
    assert set(found) == {"crew_x", "keyed_x"}
    assert found["crew_x"].framework == "CrewAI"
    assert found["crew_x"].evidence == ("imports crewai",)
    assert [finding.id for finding in found["crew_x"].findings] == ["secret_in_arguments"]
    assert found["keyed_x"].env == ("ANTHROPIC_API_KEY",)
    assert "CANARY" not in repr(told)
