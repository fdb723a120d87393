"""Configurations of MCP clients and folders: whatever people write, names only."""

import json
from pathlib import Path

import pytest

from interlock.discovery.files import Files, Folders
from interlock.discovery.sighting import Sighting, Trouble

KEY = "ghp_CANARY0123456789abcdefghij"
SERVER = {"command": "uvx", "args": ["server==1.0", "--token", KEY], "env": {"API_KEY": KEY}}
URL = {"url": f"https://u:{KEY}@mcp.example/x?key={KEY}"}


def scan(home: Path, *folders: str, **more: object) -> list[Sighting | Trouble]:
    """Look at a person's files, and at folders."""
    environ = {"WORK": str(home / "work")}
    return list(Files(Folders(folders, **more), environ=environ, home=home).scan())  # type: ignore[arg-type]


def write(path: Path, text: str) -> None:
    """Write a file, with the folders that lead to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        pytest.param(
            ".config/Claude/claude_desktop_config.json",
            json.dumps({"mcpServers": {"x": SERVER}}),
            id="Claude Desktop",
        ),
        pytest.param(
            ".claude.json",
            json.dumps({"projects": {"/p": {"mcpServers": {"x": SERVER}}}}),
            id="Claude Code",
        ),
        pytest.param(".cursor/mcp.json", json.dumps({"mcpServers": {"x": URL}}), id="Cursor"),
        pytest.param(
            ".config/Code/User/mcp.json",
            '// mine\n{"servers": {"x": %s,}, /* more */ }' % json.dumps(SERVER),  # noqa: UP031
            id="VS Code, with comments and commas",
        ),
        pytest.param(
            ".codeium/windsurf/mcp_config.json",
            json.dumps({"mcpServers": {"x": {"serverUrl": URL["url"]}}}),
            id="Windsurf",
        ),
        pytest.param(
            ".config/zed/settings.json",
            json.dumps({"context_servers": {"x": {"command": {"path": "a", "args": [KEY]}}}}),
            id="Zed",
        ),
        pytest.param(
            ".gemini/settings.json",
            json.dumps({"mcpServers": {"x": {"httpUrl": URL["url"]}}}),
            id="Gemini CLI",
        ),
        pytest.param(
            ".codex/config.toml",
            f'[mcp_servers.x]\ncommand = "npx"\n[mcp_servers.x.env]\nT_TOKEN = "{KEY}"',
            id="Codex",
        ),
        pytest.param(
            ".config/goose/config.yaml",
            f"extensions:\n  x:\n    cmd: npx\n    args: [x]\n    envs: {{X_TOKEN: {KEY}}}\n",
            id="Goose",
        ),
    ],
)
def test_every_client_is_read(tmp_path: Path, path: str, text: str) -> None:
    """Its servers are found with what is wrong; no secret is told."""
    write(tmp_path / path, text)
    (found,) = scan(tmp_path)
    assert isinstance(found, Sighting)
    assert found.name == "x"
    assert {finding.id for finding in found.findings} == {"plain_secret"}
    assert "CANARY" not in repr(found)


def test_references_are_no_secrets(tmp_path: Path) -> None:
    """A variable, an input of the editor, a vault: that is how it should be."""
    env = {"A_TOKEN": "${A_TOKEN}", "B_KEY": "${input:key}", "C_TOKEN": "op://vault/x", "D": "1"}
    server = {"command": "npx", "args": ["x@1.2.3"], "env": env}
    headers = {"Authorization": "Bearer ${TOKEN}"}
    both = {"a": server, "b": {"url": "https://x.example/mcp", "headers": headers}}
    write(tmp_path / ".cursor/mcp.json", json.dumps({"mcpServers": both}))
    found = [one for one in scan(tmp_path) if isinstance(one, Sighting)]
    assert [(one.findings, one.signals) for one in found] == [((), ()), ((), ())]


def test_folders_are_walked_as_deep_as_told_and_links_end(tmp_path: Path) -> None:
    """`~` and `${VAR}` are read, a loop of links is walked once, and depth has a limit."""
    definition = json.dumps({"name": "here", "command": "x", "capabilities": {"tools": ["a"]}})
    write(tmp_path / "work/mcp.config.json", definition)
    write(tmp_path / "work/a/b/deep.json", definition.replace("here", "deep"))
    write(tmp_path / "work/a/b/c/deeper.json", definition.replace("here", "deeper"))
    (tmp_path / "work/a/loop").symlink_to(tmp_path / "work")
    (tmp_path / "more").symlink_to(tmp_path / "work")
    found = scan(tmp_path, "${WORK}", "~/more", "${NOT_SET}/x", max_depth=3)
    assert [one.name for one in found if isinstance(one, Sighting)] == ["here", "deep"]
    (gone,) = (one.why for one in found if isinstance(one, Trouble))
    assert gone == "[filesystem] paths: ${NOT_SET}/x: there is no such folder"
    found = scan(tmp_path, "~/more", follow_symlinks=False, recursive=False)
    assert [one.name for one in found if isinstance(one, Sighting)] == ["here"]
    assert found[0].capabilities == {"tools": [{"name": "a"}]}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"mcpServers": {"a": ', id="half-broken JSON"),
        pytest.param("[" * 100_000, id="nested 100,000 deep"),
        pytest.param('{"mcpServers": ' + " " * 3_000_000 + "{}}", id="three megabytes"),
        pytest.param("7", id="no object"),
    ],
)
def test_what_is_broken_is_named_and_the_rest_is_read(tmp_path: Path, text: str) -> None:
    """One line with the file; the other files count."""
    write(tmp_path / ".cursor/mcp.json", text)
    write(tmp_path / ".gemini/settings.json", json.dumps({"mcpServers": {"x": SERVER}}))
    trouble, found = sorted(scan(tmp_path), key=lambda one: isinstance(one, Sighting))
    assert isinstance(trouble, Trouble)
    assert f"{tmp_path}/.cursor/mcp.json: cannot be read: " in trouble.why
    assert isinstance(found, Sighting)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("x.json", '"\\' * 900_000, id="a string that is never closed"),
        pytest.param("x.json", "/* " * 600_000, id="a comment that is never closed"),
        pytest.param("x.json", (", " + " " * 1000) * 1900, id="commas and blanks"),
        pytest.param("mcp-x.yaml", "a: b\n" * 300_000, id="much YAML"),
        pytest.param("mcp-x.yaml", "[" * 100_000, id="deep YAML"),
    ],
)
def test_no_file_keeps_a_scanner_busy(tmp_path: Path, name: str, text: str) -> None:
    """Each of these took longer than anybody waits; the file beside it is read."""
    write(tmp_path / "work" / name, text)
    write(tmp_path / "work" / "y.json", json.dumps({"mcpServers": {"good": SERVER}}))
    assert [s.name for s in scan(tmp_path, "${WORK}") if isinstance(s, Sighting)] == ["good"]


def test_a_link_to_what_never_ends_is_passed_over(tmp_path: Path) -> None:
    """To a reader the log of the kernel is a file; it waits for the next line for ever."""
    write(tmp_path / "work" / "y.json", json.dumps({"mcpServers": {"good": SERVER}}))
    for number, end in enumerate(("/proc/kmsg", "/dev/zero", "/dev/tty")):
        (tmp_path / "work" / f"{number}.json").symlink_to(end)
    assert [s.name for s in scan(tmp_path, "${WORK}") if isinstance(s, Sighting)] == ["good"]
