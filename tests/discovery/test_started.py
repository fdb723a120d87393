"""A process is what it starts, not what that is given to read."""

from pathlib import Path

import pytest

from interlock.discovery.depth import PRESETS
from interlock.discovery.processes import Processes
from interlock.discovery.sighting import Sighting

SERVER = "@modelcontextprotocol/server-filesystem"


def framework_of(proc: Path, line: str) -> str:
    """By what the only process of a machine would be known, empty for nothing."""
    (proc / "self").mkdir()
    process = proc / "4000000"
    process.mkdir()
    for link in ("cwd", "root"):
        (process / link).symlink_to("/")
    (process / "cmdline").write_bytes(b"\0".join(map(str.encode, line.split())) + b"\0")
    found = list(Processes(PRESETS["enterprise-standard"], proc).scan())
    assert all(isinstance(one, Sighting) for one in found)
    return "".join(one.framework for one in found if isinstance(one, Sighting))


@pytest.mark.parametrize(
    "line",
    [
        "python -m pytest -q tests/door/test_mcp.py",
        "/home/ada/mcp/.venv/bin/python -m pytest -x --timeout 9 tests/door/test_mcp.py",
        "/usr/bin/python3 /home/ada/mcp/.venv/bin/pytest tests/test_mcp.py",
        "uv run --quiet --no-sync --with pytest pytest tests/test_mcp.py -k mcp",
        "uv run python -m pytest tests/test_mcp.py",
        "python -X dev -u manage.py loaddata fixtures/mcp.json",
        "python -c pass mcp",
        "node --max-old-space-size=4096 node_modules/.bin/eslint src/mcp.ts",
        "vim src/mcp.ts",
        "python",
    ],
)
def test_a_name_among_the_arguments_is_no_sign(tmp_path: Path, line: str) -> None:
    """Whoever tests, checks or loads a file that is called like a server is none."""
    assert framework_of(tmp_path, line) == ""


@pytest.mark.parametrize(
    ("line", "framework"),
    [
        ("python -m mcp.server --port 8000", "MCP"),
        ("python -m mcp_server_git --repository /work", "MCP"),
        ("python -u /srv/mcp/server.py", "MCP"),
        ("/usr/bin/python3 my_mcp.py", "MCP"),
        ("/usr/bin/python3 /usr/bin/fastmcp run server.py", "MCP"),
        ("/venv/bin/python /venv/bin/uvicorn --host 0.0.0.0 --port 8000 my_mcp:app", "MCP"),
        ("python -m debugpy --listen 5678 my_mcp.py", "MCP"),
        ("uv run --with mcp[cli] --python 3.13 mcp run server.py", "MCP"),
        ("uv tool run mcp-server-fetch", "MCP"),
        ("uv run --directory /srv/x python my_mcp.py", "MCP"),
        ("uvx --from git+https://x.example/y mcp-server-time", "MCP"),
        (f"node /root/.npm/_npx/a1/node_modules/{SERVER}/dist/index.js /data", "MCP"),
        ("node /root/.npm/_npx/a1/node_modules/.bin/mcp-server-filesystem /data", "MCP"),
        ("node --import tsx src/mcp.ts", "MCP"),
        (f"deno run --allow-net npm:{SERVER}", "MCP"),
        (f"bun x {SERVER}", "MCP"),
        ("node /usr/local/bin/n8n worker", "n8n"),
        ("python /venv/bin/langgraph dev", "LangGraph"),
        ("mcp-server-git --repository /work", "MCP"),
    ],
)
def test_what_is_started_is_a_sign(tmp_path: Path, line: str, framework: str) -> None:
    """A module, a script with its folders, or a program, through whatever starts it."""
    assert framework_of(tmp_path, line) == framework


def test_what_a_given_file_imports_is_no_sign(tmp_path: Path) -> None:
    """A script is known by its imports when it is what runs."""
    script = tmp_path / "weather.py"
    script.write_text("from fastmcp import FastMCP\n")
    for name, start, framework in (("one", "", "MCP"), ("two", "-m pytest ", "")):
        (tmp_path / name).mkdir()
        assert framework_of(tmp_path / name, f"python {start}{script}") == framework
