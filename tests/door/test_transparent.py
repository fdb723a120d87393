"""Transparent mode: an agent that knows of no proxy, whose connections are redirected to us."""

import socket
import ssl
import subprocess
from collections.abc import Callable

from interlock.model import Authority, Binding, Mode
from tests.door.raw import Scripted, read_all
from tests.door.world import OPENAI_KEY, TRUSTED, UNVERIFIED, World
from tests.egress.lab import DOOR, DOOR_PORT, ROOT, Lab, needed
from tests.egress.own_network import SOMEWHERE, in_network, in_own_network, redirect

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"

type Call = Callable[..., bytes]


def through(world: World, mode: Mode, calls: Callable[[Call, Scripted], None]) -> None:
    """Have an upstream, a front door and the redirection in one network, and call there."""

    def work() -> None:
        with Scripted(world, ANSWER) as upstream:
            at = Authority("localhost", upstream.port)
            world.also_bind(Binding("openai-api-key", at, "bearer", service="openai"))
            with world.either(mode, reverse=(), modes=("transparent",)) as door:
                redirect(upstream.port, door.ports[1])

                def call(
                    sni: str = "localhost", host: str = "localhost", agent: str = TRUSTED
                ) -> bytes:
                    return exchanged(world, door.ca, upstream.port, sni, host, agent)

                calls(call, upstream)

    needed()
    in_own_network(work)


def exchanged(world: World, ca: object, port: int, sni: str, host: str, agent: str) -> bytes:
    """One GET to where the agent believes that its provider is."""
    proof = f"Authorization: Bearer {world.keys[agent]}\r\n" if agent else ""
    head = f"GET /v1/models HTTP/1.1\r\nHost: {host}:{port}\r\n{proof}Connection: close\r\n\r\n"
    with socket.create_connection((SOMEWHERE, port), 20) as plain:
        trust = ssl.create_default_context(cafile=str(ca))
        with trust.wrap_socket(plain, server_hostname=sni) as secure:
            secure.sendall(head.encode())
            return read_all(secure)


def test_what_is_redirected_is_governed(world: World, mode: Mode) -> None:
    """The named host gets the key, over TLS verified for it; whatever disagrees reaches nobody.

    The ledger has the address that the agent dialled where a CONNECT target would be.
    """

    def calls(call: Call, upstream: Scripted) -> None:
        assert call().startswith(b"HTTP/1.1 200 ")
        (head,) = upstream.heads
        assert head.count(OPENAI_KEY.encode()) == 1
        assert f"Host: localhost:{upstream.port}".encode() in head
        upstream.heads.clear()

        for sni, host in (("localhost", "evil.example"), ("evil.example", "localhost")):
            answer = call(sni, host)
            assert answer.startswith(b"HTTP/1.1 421 "), answer
            assert b"authority_mismatch" in answer
        assert call(agent="").startswith(b"HTTP/1.1 401 ")
        assert upstream.heads == []

        denied = call(agent=UNVERIFIED)
        assert denied.startswith(b"HTTP/1.1 403 ") == (mode is Mode.ENFORCE)
        assert len(upstream.heads) == (mode is Mode.OBSERVE)

    through(world, mode, calls)
    connects = [row["body"]["connect"] for row in world.rows("decision")]
    assert connects[-1].startswith(f"{SOMEWHERE}:")


def test_the_recipe_redirects_an_agent_in_a_network_of_its_own(world: World) -> None:
    """The lines of the page, run where an agent's packets pass; they come back as answers."""
    page = (ROOT / "docs" / "deploy.md").read_text().partition("## Transparent")[2]
    rules = [line[2:] for line in page.partition("##")[0].splitlines() if line.startswith("$ nft")]
    assert len(rules) == 3
    needed()
    with Lab(has_door=False) as lab:
        inside = f"interlock-{lab.agent}"
        lab.run(inside, "ip", "route", "replace", "default", "via", DOOR)

        def work() -> tuple[subprocess.CompletedProcess[str], list[bytes]]:
            with Scripted(world, ANSWER) as upstream:
                at = Authority("localhost", upstream.port)
                world.also_bind(Binding("openai-api-key", at, "bearer", service="openai"))
                door = world.door(Mode.ENFORCE, reverse=(), modes=("transparent",))
                door.command[-1] = f"transparent@{DOOR}:{door.ports.pop() and DOOR_PORT}"
                with door:
                    for rule in rules:
                        own = rule.replace("ilk-research", f"ilk-{lab.agent}")
                        own = own.replace("10.200.0.1:8443", f"{DOOR}:{DOOR_PORT}")
                        lab.run(lab.host, "sh", "-c", own.replace("443 ", f"{upstream.port} "))
                    proof = f"Authorization: Bearer {world.keys[TRUSTED]}"
                    there = f"localhost:{upstream.port}:{SOMEWHERE}"
                    words = ("--http1.1", "--cacert", str(door.ca), "-H", proof, "--resolve", there)
                    url = f"https://localhost:{upstream.port}/v1/models"
                    said = lab.run(inside, "curl", "-q", "-sSi", *words, url, check=False)
                return said, upstream.heads

        said, heads = in_network(lab.host, work)
    assert said.stdout.startswith("HTTP/1.1 200 "), said
    assert heads[0].count(OPENAI_KEY.encode()) == 1
    connect = world.decisions()[-1]["body"]["connect"]
    assert connect.startswith(f"{SOMEWHERE}:")
