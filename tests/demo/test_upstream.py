"""The server: it records all that arrives, takes the right key only, and stops at once."""

import asyncio
import socket
import ssl
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import httpx
import hypercorn
import hypercorn.asyncio
import pytest

from interlock.demo.certificates import Certificates
from interlock.demo.upstream import Upstream
from tests.demo.provider import KEYS


class TestRecording:
    def test_a_request_is_recorded_as_it_came(
        self, client: httpx.Client, upstream: Upstream
    ) -> None:
        """Order, duplicates, query and body are kept."""
        client.post("/echo?a=1&b=%20", headers=[("X-Twice", "1"), ("X-Twice", "2")], content="é")
        (request,) = upstream.received
        assert (request.method, request.path) == ("POST", "/echo?a=1&b=%20")
        assert (request.http_version, request.body) == ("1.1", "é".encode())
        assert request.values(b"x-twice") == [b"1", b"2"]

    def test_a_refused_request_is_recorded(self, client: httpx.Client, upstream: Upstream) -> None:
        """What arrived has arrived, whatever the answer."""
        assert client.get("/v1/models").status_code == 401
        assert len(upstream.received) == 1

    def test_the_same_key_twice_is_refused(self, client: httpx.Client) -> None:
        """A doubled credential is a defect of whoever put it there."""
        twice = [("authorization", f"Bearer {KEYS['openai']}")] * 2
        assert client.get("/v1/models", headers=twice).status_code == 401

    @pytest.mark.parametrize("name", ["x-api-key", "authorization"])
    def test_anthropic_takes_the_key_in_either_header(
        self, client: httpx.Client, name: str
    ) -> None:
        """SDKs of different ages send it differently."""
        prefix = "Bearer " if name == "authorization" else ""
        headers = {name: prefix + KEYS["anthropic"], "anthropic-version": "2023-06-01"}
        assert client.get("/v1/models", headers=headers).status_code == 200

    def test_an_unfinished_request_is_recorded(
        self, upstream: Upstream, trust: ssl.SSLContext
    ) -> None:
        """A request that breaks off has still been seen."""
        address = ("127.0.0.1", upstream.port)
        with (
            socket.create_connection(address) as plain,
            trust.wrap_socket(plain, server_hostname="localhost") as wire,
        ):
            wire.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
        deadline = time.monotonic() + 30
        while not upstream.received and time.monotonic() < deadline:
            time.sleep(0.01)
        assert [request.body for request in upstream.received] == [b"half"]


class TestServing:
    def test_without_keys_any_request_is_accepted(
        self, certificates: Certificates, trust: ssl.SSLContext
    ) -> None:
        """An upstream without keys asks for none."""
        with Upstream(certificates) as open_to_all:
            assert (
                httpx.get(f"{open_to_all.url}/v1/models", verify=trust, timeout=20).status_code
                == 200
            )

    def test_a_missing_certificate_raises_at_once(self, tmp_path: Path) -> None:
        """Whoever opens the context learns of it, not a thread."""
        nothing = Certificates(tmp_path / "ca", tmp_path / "chain", tmp_path / "key")
        with pytest.raises(FileNotFoundError), Upstream(nothing):
            pass

    def test_stops_at_once(
        self,
        certificates: Certificates,
        trust: ssl.SSLContext,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Neither an idle client, nor a running stream, nor a silent connection holds it back."""
        with ExitStack() as clients:
            with Upstream(certificates) as upstream:
                clients.enter_context(socket.create_connection(("127.0.0.1", upstream.port)))
                client = clients.enter_context(
                    httpx.Client(base_url=upstream.url, verify=trust, timeout=20)
                )
                ticks = clients.enter_context(client.stream("GET", "/ticks?count=1000"))
                next(ticks.iter_raw())
                client.get("/echo")
                began = time.monotonic()
            assert time.monotonic() - began < 10
        assert not {record.name for record in caplog.records} & {"uvicorn.error", "asyncio"}

    async def test_speaks_http2_under_another_server(
        self, certificates: Certificates, trust: ssl.SSLContext
    ) -> None:
        """The app serves HTTP/2 as well, under a server that has it."""
        upstream = Upstream(certificates, keys=KEYS)
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        config = hypercorn.Config()
        config.bind = [f"fd://{listener.detach()}"]
        config.certfile, config.keyfile = str(certificates.chain), str(certificates.key)
        config.errorlog = None
        done = asyncio.Event()
        app = cast("Any", upstream.app)
        serving = asyncio.create_task(
            hypercorn.asyncio.serve(app, config, shutdown_trigger=done.wait, mode="asgi")
        )
        async with httpx.AsyncClient(verify=trust, http2=True, timeout=20) as client:
            answer = await client.get(
                f"https://localhost:{port}/v1/models?x=1",
                headers={"authorization": f"Bearer {KEYS['openai']}"},
            )
        done.set()
        await serving
        assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
        (request,) = upstream.received
        assert (request.http_version, request.path) == ("2", "/v1/models?x=1")
        assert request.values(b"host") == [f"localhost:{port}".encode()]
