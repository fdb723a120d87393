"""Mutual TLS to the upstream: each call on a connection of its own certificate, or of none."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from broker import Secret
from interlock.demo.front_door import FrontDoor
from interlock.demo.ports import free_ports
from interlock.model import Authority, Binding, Mode
from tests.door.world import TRUSTED, Http2Upstream, World, trusting

BESIDE = "sk-beside-REAL-0123456789abcdef"


@dataclass(frozen=True)
class Seen:
    """One request: its path, who the certificate says that it is, and on which connection."""

    path: str
    who: str
    connection: int


@dataclass
class Upstream:
    """A server that asks for a client certificate, and may do without one."""

    port: int = 0
    seen: list[Seen] = field(default_factory=list)


def serve(world: World, clients: trustme.CA, need: ssl.VerifyMode, stack: ExitStack) -> Upstream:
    """Start an upstream that ends with the stack."""
    upstream = Upstream()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            shown: Any = self.connection
            subject = dict(part[0] for part in (shown.getpeercert() or {}).get("subject", ()))
            who = subject.get("organizationalUnitName", "")
            upstream.seen.append(Seen(self.path, who, id(self.connection)))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(world.certificates.chain, world.certificates.key)
    context.verify_mode = need
    clients.configure_trust(context)
    server = ThreadingHTTPServer(("127.0.0.1", *free_ports(1)), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    upstream.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    stack.callback(thread.join)
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    return upstream


def identity(ca: trustme.CA, who: str) -> str:
    """A client's certificate and key, as they are stored."""
    made = ca.issue_cert(f"{who}@example.com", organization_unit_name=who)
    chain = "".join(blob.bytes().decode() for blob in made.cert_chain_pems)
    return json.dumps({"certificate": chain, "private_key": made.private_key_pem.bytes().decode()})


@dataclass
class Stage:
    """An upstream that wants certificates, one that can do without, and a door in each mode."""

    world: World
    doors: dict[Mode, FrontDoor]
    optional: Upstream
    required: Upstream
    keys: list[str]

    def client(self, mode: Mode, **more: Any) -> httpx.Client:
        door = self.doors[mode]
        proxy = door.proxy(TRUSTED, self.world.keys[TRUSTED])
        trust = trusting(door.ca, **more)
        return httpx.Client(proxy=proxy, verify=trust, trust_env=False, timeout=20, **more)


@pytest.fixture(scope="module")
def stage(_world: World) -> Iterator[Stage]:
    ours, others = trustme.CA(), trustme.CA()
    with ExitStack() as stack:
        optional = serve(_world, ours, ssl.CERT_OPTIONAL, stack)
        required = serve(_world, ours, ssl.CERT_REQUIRED, stack)
        secrets = {"ada": identity(ours, "ada"), "bob": identity(ours, "bob")}
        secrets |= {"eve": identity(others, "eve")}
        ports = {"ada": optional.port, "bob": optional.port, "eve": required.port}
        ports["ada"] = optional.port
        for who, value in secrets.items():
            bind(_world, who, value, ports[who], f"/{who}")
        bind(_world, "ada-too", secrets["ada"], required.port, "/ada")
        doors = {mode: stack.enter_context(_world.reading(mode)) for mode in Mode}
        yield Stage(_world, doors, optional, required, list(secrets.values()))


def bind(
    world: World, name: str, value: str, port: int, path: str, recipe: str = "client_certificate"
) -> None:
    authority = Authority("localhost", port)
    binding = Binding(name, authority, recipe, paths=frozenset({path}))
    world.change(lambda i: i.set_secret(name, Secret(value), [binding]))


def test_a_connection_is_only_for_calls_of_its_certificate(stage: Stage, mode: Mode) -> None:
    """Six calls in turn: three connections, each used again by the calls that may.

    Broken by having every connection fit every call.
    """
    stage.optional.seen.clear()
    with stage.client(mode) as client:
        for path in ("/ada", "/bob", "/none", "/ada", "/none", "/bob"):
            answer = client.get(f"https://localhost:{stage.optional.port}{path}")
            assert answer.status_code == 200, answer.text
    seen = stage.optional.seen
    assert [each.who for each in seen] == ["ada", "bob", "", "ada", "", "bob"]
    at = [each.connection for each in seen]
    assert (at[0], at[1], at[2]) == (at[3], at[5], at[4])
    assert len(set(at)) == 3


def test_a_server_that_demands_one_gets_it(stage: Stage, mode: Mode) -> None:
    """And what the agent sends beside it arrives, but for nothing of ours."""
    stage.required.seen.clear()
    with stage.client(mode) as client:
        assert client.get(f"https://localhost:{stage.required.port}/ada").text == "ok"
    assert [each.who for each in stage.required.seen] == ["ada"]


@pytest.mark.parametrize("path", ["/none", "/eve"])
def test_a_server_that_trusts_no_certificate_of_the_call_gets_nothing(
    stage: Stage, mode: Mode, path: str
) -> None:
    """Not even on a client's connection that was let in with another one before."""
    stage.required.seen.clear()
    with stage.client(mode) as client:
        url = f"https://localhost:{stage.required.port}"
        assert client.get(f"{url}/ada").status_code == 200
        assert client.get(f"{url}{path}").status_code == 502
    assert [each.path for each in stage.required.seen] == ["/ada"]


def test_each_call_spends_a_token_of_its_own(stage: Stage) -> None:
    """A connection is no licence: a certificate that is taken away serves no further call."""
    stage.optional.seen.clear()
    value = stage.keys[0]
    bind(stage.world, "gone", value, stage.optional.port, "/gone")
    with stage.client(Mode.ENFORCE) as client:
        url = f"https://localhost:{stage.optional.port}/gone"
        answer = client.get(url)
        kinds = [e["kind"] for e in stage.world.events(answer.headers["interlock-decision-id"])]
        assert kinds.count("secret_access") == 1
        stage.world.change(lambda i: i.remove_secret("gone"))
        client.get(url)
    assert [each.who for each in stage.optional.seen] == ["ada", ""]


def test_over_http2_and_with_a_key_beside_it(stage: Stage, mode: Mode, tmp_path: Path) -> None:
    """Both of one secret, for the calls that were granted it; others get no connection there."""
    ours, world = trustme.CA(), stage.world
    ours.cert_pem.write_to_path(tmp_path / "clients.pem")
    upstream = Http2Upstream(world.certificates)
    upstream.clients = tmp_path / "clients.pem"
    both = json.loads(identity(ours, "dan")) | {"secret": BESIDE}
    recipe = "client_certificate:header:X-Api-Key"
    with upstream:
        bind(world, "both", json.dumps(both), upstream.port, "/echo", recipe)
        with stage.client(mode, http2=True) as client:
            url = f"https://localhost:{upstream.port}"
            first = client.get(f"{url}/echo", headers={"X-Api-Key": "own"})
            other = client.get(f"{url}/models")
            again = client.get(f"{url}/echo")
        world.change(lambda i: i.remove_secret("both"))
    assert [each.http_version for each in (first, again)] == ["HTTP/2"] * 2
    assert [each.status_code for each in (first, other, again)] == [200, 502, 200]
    assert {each.http_version for each in upstream.received} == {"2"}
    assert BESIDE not in first.text + again.text
    assert [each.values(b"x-api-key") for each in upstream.received] == [[BESIDE.encode()]] * 2


def test_no_key_is_written_anywhere(stage: Stage) -> None:
    """Nor logged."""
    written = b"".join(p.read_bytes() for p in stage.world.home.rglob("*") if p.is_file())
    written += b"".join(door.log.encode() for door in stage.doors.values())
    lines = [line for key in stage.keys for line in json.loads(key)["private_key"].split("\n")]
    assert [line for line in lines if len(line) > 40 and line.encode() in written] == []
