"""The wheel works on its own: built, installed into an empty environment, run from nowhere."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
UV = os.environ.get("UV") or shutil.which("uv", path=f"{os.environ['PATH']}:{ROOT}/.uv/bin") or ""

CALL = {
    "mode",
    "agent",
    "action",
    "resource",
    "decision",
    "status",
    "decision_id",
    "upstream_saw_secret",
    "agent_saw_secret",
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not UV, reason="uv is not on the PATH: `make setup` brings it"),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist, and the wheel out of that sdist."""
    out = tmp_path_factory.mktemp("dist")
    _run(UV, "build", "--quiet", "--python", sys.executable, "--out-dir", out, ROOT)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel, at the locked versions, and return the environment's bin directory."""
    home = tmp_path_factory.mktemp("installed")
    environment, locked = home / "venv", home / "locked.txt"
    export = ("export", "--locked", "--no-dev", "--no-emit-project", "--no-hashes")
    _run(UV, *export, "--quiet", "--python", sys.executable, "--output-file", locked, cwd=ROOT)
    _run(UV, "venv", "--quiet", "--no-project", "--python", sys.executable, environment)
    python = environment / "bin" / "python"
    _run(UV, "pip", "install", "--quiet", "--python", python, "--constraint", locked, wheel)
    return python.parent


def test_carries_code_and_policies_and_nothing_else(wheel: Path) -> None:
    """The wheel holds the three packages, with policies/ as interlock/policies."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    shipped = {p.relative_to(ROOT) for p in (ROOT / "policies").rglob("*") if p.is_file()}
    assert {f"interlock/{path}" for path in shipped} <= set(names)
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "addons",
        "broker",
        "interlock",
    }


def test_demo_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    """`interlock demo --json` needs no checkout, no state and no network, and prints one object."""
    home, nowhere = tmp_path / "home", tmp_path / "nowhere"
    home.mkdir()
    nowhere.mkdir()
    demo = subprocess.run(
        [installed / "interlock", "demo", "--json"],
        cwd=nowhere,
        env={"HOME": str(home), "PATH": f"{installed}:/usr/bin:/bin", "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert demo.returncode == 0, demo.stderr
    _assert_complete(json.loads(demo.stdout))
    assert list(nowhere.iterdir()) == []


def _assert_complete(answer: dict[str, Any]) -> None:
    """Hold the demo's object against what it promises."""
    calls, ledger = answer["calls"], answer["ledger"]
    assert set(answer) == {"calls", "ledger"}
    assert all(set(call) == CALL for call in calls)
    assert {call["mode"] for call in calls} == {"observe", "enforce"}
    assert len({call["agent"] for call in calls}) == 3
    assert all(call["decision_id"] for call in calls)
    assert not any(call["agent_saw_secret"] for call in calls)

    enforced = [call for call in calls if call["mode"] == "enforce"]
    allowed = [call for call in enforced if call["decision"] == "allow"]
    refused = [call for call in enforced if call["decision"] == "deny"]
    assert allowed
    assert all(call["status"] == 200 and call["upstream_saw_secret"] for call in allowed)
    assert refused
    assert all(call["status"] in {401, 403, 407} for call in refused)
    assert not any(call["upstream_saw_secret"] for call in refused)

    assert set(ledger) == {"events", "verified"}
    assert ledger["events"] >= len(calls)
    assert ledger["verified"] is True


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stderr}"
