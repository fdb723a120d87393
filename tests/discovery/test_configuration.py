"""What to scan: the reference's file works as it is printed, and what is wrong is named."""

from pathlib import Path

import pytest

from interlock.discovery.configuration import load
from interlock.discovery.depth import PRESETS
from interlock.errors import SettingsError

REFERENCE = """
[registry]
agent_id = "scanner-001"
[scanner]
interval = 300
methods = ["filesystem", "network", "claude_config"]
[filesystem]
paths = ["~/mcp", "${WORK}/mcp"]
patterns = ["*.json", "*.toml", "mcp.config.*", "mcp-*.yaml", "server.config"]
recursive = true
max_depth = 3
follow_symlinks = true
[network]
enabled = false
ranges = ["192.168.1.0/24"]
ports = [3000, 8080, 9000]
[claude_config]
enabled = true
paths = ["~/.config/Claude/claude_desktop_config.json"]
"""


ELSEWHERE = "[registry]\nurl = '{}'\nagent_id = 's'\napi_key = '{}'"


def test_the_file_of_the_reference_is_read(tmp_path: Path) -> None:
    """Its methods are sources of ours; a network that is not enabled is not scanned."""
    (tmp_path / "d.toml").write_text(REFERENCE)
    known = load(tmp_path / "d.toml")
    assert known.sources == ("files",)
    assert (known.scanner, known.interval_s, known.clients) == ("scanner-001", 300, True)
    assert known.folders.paths == ("~/mcp", "${WORK}/mcp")
    assert known.narrowed(["network"]).scanners()[0].source == "network"


@pytest.mark.parametrize(
    ("text", "clients", "more"),
    [
        pytest.param("", True, ("~/c.json",), id="unless told otherwise"),
        pytest.param("[scanner]\nmethods = ['files']", True, ("~/c.json",), id="all files"),
        pytest.param("[scanner]\nmethods = ['filesystem']", False, (), id="folders alone"),
        pytest.param("[claude_config]\nenabled = false", False, (), id="switched off"),
    ],
)
def test_files_of_clients_are_read_when_they_are_to_be(
    tmp_path: Path, text: str, clients: bool, more: tuple[str, ...]
) -> None:
    """Those that a file names, like those that are known."""
    named = "paths = ['~/c.json']\n"
    section = "" if "[claude_config]" in text else "\n[claude_config]"
    (tmp_path / "d.toml").write_text(f"{text}{section}\n{named}")
    known = load(tmp_path / "d.toml")
    assert (known.clients, known.more) == (clients, more)


def test_presets_have_the_thresholds_of_the_reference() -> None:
    """And what a file says goes before its preset."""
    assert [preset.threshold for preset in PRESETS.values()] == [0.50, 0.30, 0.65]
    assert load(None, "High Security").depth.package_inspection
    assert not load(None, "lightweight").depth.process_inspection
    assert load(None).depth == PRESETS["enterprise-standard"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("[scanner\n", "line 1", id="no TOML"),
        pytest.param("[scaner]\n", "[scaner]: there is no such section", id="a section misspelt"),
        pytest.param("[registry]\nurl = 'https://x'", "needs url, agent_id", id="half a registry"),
        pytest.param(ELSEWHERE.format("http://x", "k"), "use https://", id="a key in plain text"),
        pytest.param(ELSEWHERE.format("https://u:p@x", "k"), "without user", id="a password"),
        pytest.param(ELSEWHERE.format("https://x", "${NONE}"), "has no NONE", id="no variable"),
        pytest.param(ELSEWHERE.format("https://x", ""), "the key of a scanner", id="no key"),
        pytest.param(ELSEWHERE.format("x", "k"), "is not like https://", id="no URL"),
        pytest.param("[registry]\nagent_id = 'a b'", "use letters", id="a scanner's name"),
        pytest.param("[scanner]\nintervall = 3", "intervall: there is no such key", id="a key"),
        pytest.param("[scanner]\ninterval = 'x'", "interval: must be a number", id="a type"),
        pytest.param("[scanner]\npreset = 'x'", "there is no preset 'x'", id="a preset"),
        pytest.param("[scanner]\nthreshold = 3", "between 0.05 and 1", id="a threshold"),
        pytest.param("[scanner]\nmethods = ['x']", "there is no 'x'", id="a method"),
        pytest.param("[network]\nranges = ['8.8.8.0/24']", "is public", id="a public range"),
        pytest.param("[network]\nranges = ['10.0.0.0/8']", "more than", id="a range too large"),
        pytest.param("[network]\nports = [70000]", "from 1 to 65535", id="a port"),
        pytest.param("[network]\nenabled = true", "name the ranges", id="no ranges"),
        pytest.param("[scanner]\nmethods = ['network']", "it is not enabled", id="nothing left"),
    ],
)
def test_what_is_wrong_is_one_clear_line(tmp_path: Path, text: str, said: str) -> None:
    """It names the file, and what in it cannot be taken."""
    (tmp_path / "d.toml").write_text(text)
    with pytest.raises(SettingsError) as error:
        load(tmp_path / "d.toml").scanners()
    assert said in str(error.value)


def test_the_key_of_a_registry_elsewhere_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes from the environment, and a configuration that is printed has none."""
    monkeypatch.setenv("SCANNER_KEY", "ila_CANARY")
    (tmp_path / "d.toml").write_text(ELSEWHERE.format("http://localhost:9080/", "${SCANNER_KEY}"))
    known = load(tmp_path / "d.toml")
    assert known.remote
    assert (known.remote.url, known.remote.api_key) == ("http://localhost:9080", "ila_CANARY")
    assert "CANARY" not in repr(known)
