"""What one agent may ask for at once: a refusal says which limit, and nobody else is touched."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from interlock.demo.front_door import FrontDoor
from interlock.model import Mode
from interlock.rates import Rates
from tests.attacks.case import connect, open_at, read_answer, read_rest, said_and_heard, secured
from tests.attacks.field import Field
from tests.door.world import TRUSTED, UNVERIFIED

LIMITS = {"max_rate": 1, "max_connections": 3, "header_timeout": 2, "idle_timeout": 4}


@pytest.fixture(scope="module")
def narrow(_field: Field) -> Iterator[FrontDoor]:
    """A front door with two workers, where everything is scarce."""
    words = [f"--set=interlock_{name}={most}" for name, most in LIMITS.items()]
    with _field.door(Mode.OBSERVE, "--workers", "2", *words, program="interlock") as door:
        yield door


def call(field: Field, door: FrontDoor, agent: str, times: int) -> list[httpx.Response]:
    """As many calls as fast as possible, each on a connection of its own: any worker may get it."""
    answers = []
    for _ in range(times):
        with field.through(door, agent) as client:
            answers.append(client.get(f"{field.openai}/v1/models"))
    return answers


def test_requests_a_second_over_all_workers(field: Field, narrow: FrontDoor) -> None:
    """As many as the rate, then 429; the next agent is served; later it goes on."""
    began = time.monotonic()
    refused: list[httpx.Response] = []
    while not refused and time.monotonic() - began < 60:
        refused = [one for one in call(field, narrow, TRUSTED, 6) if one.status_code == 429]
    assert len(field.upstream.received) <= LIMITS["max_rate"] * (time.monotonic() - began + 1) + 1
    assert "interlock_max_rate" in refused[0].text
    assert int(refused[0].headers["retry-after"]) >= 1
    assert refused[0].elapsed.total_seconds() > 0.2  # who is refused has to wait for it
    assert [one.status_code for one in call(field, narrow, UNVERIFIED, 1)] != [429]
    time.sleep(int(refused[0].headers["retry-after"]))
    assert call(field, narrow, TRUSTED, 1)[0].status_code == 200


def test_the_rate_of_a_bucket(tmp_path: Path) -> None:
    """A second's worth at once, then one at a time; processes that share the file share it."""
    here, there = Rates(tmp_path / "rates"), Rates(tmp_path / "rates")
    taken = [not one.take("a", 10, 100.0) for one in (here, there) * 10]
    assert taken.count(True) == 10
    assert here.take("a", 10, 100.0) == pytest.approx(0.1)
    assert not here.take("b", 10, 100.0)
    assert not there.take("a", 10, 100.11)
    assert there.take("a", 10, 100.12)
    assert sum(not here.take("a", 10, 200.0) for _ in range(20)) == 10


def test_a_bucket_of_before_a_restart_of_the_machine(tmp_path: Path) -> None:
    """Its clock began anew; nobody is locked out for as long as the machine was up."""
    rates = Rates(tmp_path / "rates")
    rates.take("a", 10, 1_000_000.0)
    assert [rates.take("a", 10, 5.0) for _ in range(10)] == [0.0] * 10
    assert rates.take("a", 10, 5.0)


def test_connections_of_one_agent(field: Field, narrow: FrontDoor) -> None:
    """One too many is told so and closed; another agent still gets in."""
    with ExitStack() as stack:
        # Of two workers, one has four of them at least; none waits here until its time is over.
        ours = [stack.enter_context(open_at(narrow.ports[0])) for _ in range(8)]
        for one in ours:
            one.sendall(connect(field, b"{victim}"))
        other = stack.enter_context(open_at(narrow.ports[0]))
        other.sendall(connect(field, b"{victim}", UNVERIFIED))
        said = [read_answer(one) for one in ours]
        assert read_answer(other).startswith(b"HTTP/1.1 200")
        refused = [one for one, answer in zip(ours, said, strict=True) if b"429" in answer[:12]]
        assert 2 <= len(refused) <= 5
        for one in refused:
            one.settimeout(20)
            assert read_rest(one) == b""  # closed, else this would wait for as long
    told = [answer for answer in said if not answer.startswith(b"HTTP/1.1 200")]
    assert len(told) == len(refused)
    assert all(b"interlock_max_connections" in answer for answer in told)
    assert not field.reached


@pytest.mark.parametrize("stage", ["nothing", "half a CONNECT", "a tunnel", "half a head"])
def test_a_head_that_does_not_come(field: Field, narrow: FrontDoor, stage: str) -> None:
    """The connection is closed, however often a byte comes meanwhile."""
    with open_at(narrow.ports[0]) as plain:
        one: socket.socket = plain
        if stage in ("a tunnel", "half a head"):
            plain.sendall(connect(field, b"{victim}"))
            assert read_answer(plain).startswith(b"HTTP/1.1 200")
        if stage == "half a head":
            one = secured(plain, "victim.test")
        drip = {"half a CONNECT": b"C", "half a head": b"G"}.get(stage, b"")
        assert ends(one, drip)
        one.close()
    assert not field.reached


def ends(one: socket.socket, drip: bytes) -> bool:
    """Say whether the other side closes while bytes come one by one."""
    one.settimeout(0.3)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if drip:
                one.sendall(drip)
            if not one.recv(65536):
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def test_a_connection_on_which_nothing_moves(field: Field, narrow: FrontDoor) -> None:
    """It is closed after the time that was set."""
    with open_at(narrow.ports[1]) as plain, secured(plain, None) as one:
        head = b"GET /v1/models HTTP/1.1\r\nHost: {victim}\r\n{proof}\r\n"
        one.sendall(field.fill(head, reverse=True))
        assert read_answer(one).startswith((b"HTTP/1.1 200", b"HTTP/1.1 429"))
        assert ends(one, b"")


def test_ten_thousand_headers(field: Field, mode: Mode) -> None:
    """431, which names the limit."""
    lines = b"".join(b"x-%d: y\r\n" % i for i in range(10_000))
    head = b"GET /v1/models HTTP/1.1\r\nHost: {victim}\r\n{proof}"
    with open_at(field.doors[mode].ports[1]) as plain, secured(plain, None) as one:
        sent = field.fill(head, reverse=True) + lines + b"\r\n"
        answer = said_and_heard(one, sent)
    assert answer.startswith(b"HTTP/1.1 431")
    assert not field.reached
