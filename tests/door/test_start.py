"""Servers listen before everything is up: whoever comes first is governed as all who follow."""

import socket
import ssl
import threading
import time
from contextlib import suppress

import pytest

from interlock.model import Mode
from tests.door.raw import read_all
from tests.door.world import OPENAI_KEY, TRUSTED, World

AGENTS = 4
CALL = "GET /echo HTTP/1.1\r\nHost: {at}\r\nAuthorization: Bearer {key}\r\n{more}\r\n"


@pytest.mark.parametrize("program", ["mitmdump", "interlock"])
def test_who_comes_while_a_door_starts_is_governed(world: World, program: str) -> None:
    """Each call takes the key along, of which its answer says nothing; no token leaves."""
    door, answers = world.reading(Mode.ENFORCE, program=program), list[bytes]()
    at, key = f"localhost:{world.upstream.port}", world.keys[TRUSTED]
    calls = [CALL.format(at=at, key=key, more=more) for more in ("", "Connection: close\r\n")]
    trust = ssl.create_default_context(cafile=door.ca)
    is_over = threading.Event()

    def call() -> None:
        while not is_over.is_set():
            with suppress(ConnectionRefusedError, ConnectionResetError):
                answers.append(_said_at(door.ports[1], trust, "".join(calls).encode()))
            time.sleep(0.001)

    agents = [threading.Thread(target=call) for _ in range(AGENTS)]
    for agent in agents:
        agent.start()
    try:
        with door:
            is_over.set()
            for agent in agents:
                agent.join()
    finally:
        is_over.set()
    assert len(answers) >= AGENTS
    assert {answer.count(b"HTTP/1.1 200 OK") for answer in answers} == {2}
    assert not any(OPENAI_KEY.encode() in answer for answer in answers)
    proofs = [dict(one.headers)[b"authorization"] for one in world.received()]
    assert set(proofs) == {b"Bearer " + OPENAI_KEY.encode()}


@pytest.mark.parametrize(
    ("given", "is_open"),
    [
        pytest.param((), False, id="nothing said"),
        pytest.param(("--listen-host", "0.0.0.0"), True, id="told to"),
    ],
)
def test_other_machines_are_served_only_when_that_was_said(
    world: World, given: tuple[str, ...], is_open: bool
) -> None:
    """mitmdump alone would listen on every interface; 127.0.0.2 stands for another of ours."""
    door = world.door(Mode.ENFORCE, *given)
    door.command = [word.replace("@127.0.0.1:", "@") for word in door.command]
    with door, socket.socket() as probe:
        assert (probe.connect_ex(("127.0.0.2", door.ports[0])) == 0) is is_open


def _said_at(port: int, trust: ssl.SSLContext, said: bytes) -> bytes:
    with (
        socket.create_connection(("127.0.0.1", port), 20) as plain,
        trust.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        secure.sendall(said)
        return read_all(secure)
