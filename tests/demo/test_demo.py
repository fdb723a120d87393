"""`interlock demo`, played for real in a place that is full of the user's own settings."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from interlock.demo.stage import KEY_PREFIXES
from interlock.demo.story import STORY, Scene
from interlock.model import Mode

pytestmark = pytest.mark.slow

AS_JSON = "from interlock.demo.run import demo; raise SystemExit(demo(True))"
AS_TABLES = "from interlock.demo.run import demo; raise SystemExit(demo(False))"
OTHERWISE = """
from dataclasses import replace
from interlock.demo.run import demo
from interlock.demo.story import STORY
scene = STORY[-1]
raise SystemExit(demo(True, [replace(scene, enforce=replace(scene.enforce, status=200))]))
"""
CALL = ("mode", "agent", "action", "resource", "decision", "status")
MEASURED = ("decision_id", "upstream_saw_secret", "agent_saw_secret")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a demo is played: a home, a folder to stand in, and one for temporary files."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def start(self, code: str) -> subprocess.Popen[str]:
        for name in ("home", "here", "tmp"):
            (self.folder / name).mkdir()
        return subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=self.folder / "here",
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder / "home"),
                "TMPDIR": str(self.folder / "tmp"),
                **self.environ,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def play(self, code: str) -> subprocess.CompletedProcess[str]:
        with self.start(code) as process:
            out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def left(self) -> list[Path]:
        """Everything that lies there now."""
        return [path for name in ("home", "here", "tmp") for path in (self.folder / name).iterdir()]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place whose every setting would break the demo or lead it outside."""
    folder = tmp_path_factory.mktemp("place")
    nowhere = "http://127.0.0.1:1"
    return Place(
        folder,
        {
            "INTERLOCK_HOME": str(folder / "home" / "interlock"),
            "INTERLOCK_STORE": str(folder / "home" / "other.db"),
            "INTERLOCK_MODE": "enforce",
            "INTERLOCK_REQUIRE_IDENTITY": "true",
            "INTERLOCK_MASTER_KEY": "no key at all",
            "interlock_policies": str(folder / "missing"),
            "HTTPS_PROXY": nowhere,
            "https_proxy": nowhere,
            "HTTP_PROXY": nowhere,
            "NO_PROXY": "*",
            "SSL_CERT_FILE": str(folder / "missing.pem"),
            "SSLKEYLOGFILE": str(folder / "home" / "keys.log"),
        },
    )


@pytest.fixture(scope="module")
def played(place: Place) -> subprocess.CompletedProcess[str]:
    return place.play(AS_JSON)


@pytest.fixture(scope="module")
def told(played: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert played.returncode == 0, played.stderr
    answer: dict[str, Any] = json.loads(played.stdout)
    return answer


def test_prints_one_object_and_nothing_else(
    told: dict[str, Any], played: subprocess.CompletedProcess[str]
) -> None:
    """A program can rely on the shape, and on silence elsewhere."""
    assert list(told) == ["calls", "ledger"]
    assert [tuple(call) for call in told["calls"]] == [CALL + MEASURED] * len(STORY) * len(Mode)
    assert len({call["decision_id"] for call in told["calls"]}) == len(told["calls"])
    assert played.stderr == ""


@pytest.mark.parametrize("scene", STORY, ids=lambda scene: f"{scene.agent} {scene.resource}")
@pytest.mark.parametrize("mode", list(Mode))
def test_every_call_ends_as_the_story_says(told: dict[str, Any], scene: Scene, mode: Mode) -> None:
    """The upstream sees the key where it should, the agent nowhere."""
    ending = scene.expected(mode).ending
    about = (mode, scene.agent, scene.action, scene.resource, ending.decision, ending.status)
    (call,) = [call for call in told["calls"] if tuple(call[name] for name in CALL) == about]
    assert call["upstream_saw_secret"] is ending.upstream_saw_secret
    assert call["agent_saw_secret"] is False


def test_the_ledger_is_verified_with_every_row_in_it(told: dict[str, Any]) -> None:
    """A decision for each call, an outcome for each that left, and the chain holds."""
    left = sum(scene.expected(mode).ending.outcomes for scene in STORY for mode in Mode)
    assert told["ledger"]["events"] >= len(told["calls"]) + left
    assert told["ledger"]["verified"] is True


def test_leaves_nothing_behind(told: dict[str, Any], place: Place) -> None:
    """Neither the home, nor the current folder, nor the temporary one keeps a file."""
    assert told
    assert place.left() == []


def test_no_provider_key_is_ever_shown(played: subprocess.CompletedProcess[str]) -> None:
    """The keys are random, but all begin like a provider's."""
    assert not any(prefix in played.stdout + played.stderr for prefix in KEY_PREFIXES.values())


def test_prints_tables_for_people(tmp_path: Path) -> None:
    """What happened, why, and that the ledger holds, in 80 columns."""
    done = Place(tmp_path).play(AS_TABLES)
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("would_deny, 401", "deny, 403", "deleting-is-administration", "masked", "intact"):
        assert words in done.stdout
    tables, _, _ = done.stdout.partition("Next: ")
    assert max(map(len, tables.splitlines())) <= 80
    assert not any(prefix in done.stdout for prefix in KEY_PREFIXES.values())


def test_another_ending_is_a_failure(tmp_path: Path) -> None:
    """The exit code is 1, and one line says what differed; stdout stays what it promises."""
    done = Place(tmp_path).play(OTHERWISE)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "enforce, unidentified" in line
    assert "status is 403 instead of 200" in line
    assert json.loads(done.stdout)["ledger"]["verified"] is True


def test_an_interrupt_stops_everything(tmp_path: Path) -> None:
    """Ctrl-C ends the front door too, clears the folder away and shows no traceback."""
    place = Place(tmp_path)
    with place.start(AS_TABLES) as process:
        deadline = time.monotonic() + 60
        while not [*tmp_path.glob("tmp/*/home/ca/*")] and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 130
    assert place.left() == []
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [command for command in commands if str(tmp_path).encode() in command]
