"""The sender, against a real receiver: in order, again and again, and never in the way."""

import asyncio
import hashlib
import hmac
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from interlock.alerts import sender
from interlock.alerts.outbox import Delivery, State, newest
from interlock.alerts.sender import GIVE_UP_AFTER_S, MOST_REFUSALS, Sender, delay, is_hopeless
from interlock.demo.certificates import Certificates
from interlock.demo.ports import free_ports
from interlock.errors import AlertError
from interlock.installation import Installation
from interlock.ledger import Event
from tests.alerts.receiver import Receiver

ALERT = ("alert",)
DOCS = Path(__file__).parents[2] / "docs" / "alerts.md"
WAITING = Delivery(1, "whk_1", "evt_1", "alert", "{}", 0.0, State.WAITING, 0, 0.0, "", None)


def happen(home: Installation, *names: str) -> None:
    """Let alerts happen, in this order."""
    for name in names:
        home.ledger.note(Event(name, time.time(), "alert", "thief"))
        home.ledger.flush()


def states(home: Installation) -> list[tuple[str, str, str]]:
    return [(d.event, d.state, d.answer) for d in newest(home.database, 100)]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again at once."""
    monkeypatch.setattr(sender, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(sender, "LONGEST_DELAY_S", 0.01)


@asynccontextmanager
async def sending(home: Installation) -> AsyncIterator[None]:
    """Run a sender as the front door does."""
    sender_ = Sender(home)
    task = asyncio.create_task(sender_.run())
    yield
    task.cancel()
    sender_.stop()
    with suppress(asyncio.CancelledError):
        await task


async def send_all(home: Installation) -> None:
    """Let a sender run until nothing waits any more."""
    async with asyncio.timeout(60), sending(home):
        while True:
            if "waiting" not in {state for _, state, _ in states(home)}:
                return
            await asyncio.sleep(0.02)


async def test_signs_what_it_posts(home: Installation) -> None:
    """The signature is over the time and the very bytes of the body."""
    with Receiver() as receiver:
        _, key = home.webhooks.add(receiver.url, ALERT)
        happen(home, "alr_1")
        assert await Sender(home).drain() == (1, 0)
    ((header, body),) = receiver.posts
    found = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", header)
    assert found
    expected = hmac.new(key.reveal(), f"{found[1]}.".encode() + body, hashlib.sha256)
    assert found[2] == expected.hexdigest()
    assert abs(time.time() - int(found[1])) < 60


async def test_the_example_of_the_documentation_verifies(home: Installation) -> None:
    """It takes what was posted; not another body, secret or time."""
    with Receiver() as receiver:
        _, key = home.webhooks.add(receiver.url, ALERT)
        happen(home, "alr_1")
        await Sender(home).drain()
    ((header, body),) = receiver.posts
    example = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert example
    names: dict[str, Any] = {}
    exec(example[1], names)  # noqa: S102 - our own page
    verify, secret, now = names["verify"], key.reveal().decode(), time.time()
    assert verify(secret, header, body, now)["id"] == "alr_1"
    for wrong in (
        (secret + "x", header, body, now),
        (secret, header, body + b" ", now),
        (secret, header, body, now + 301),
        (secret, "t=1", body, now),
        (secret, "", body, now),
    ):
        with pytest.raises(ValueError, match="signature"):
            verify(*wrong)


async def test_https_is_verified(
    home: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver that the system does not trust gets nothing; one that it trusts does."""
    certificates = Certificates.create(tmp_path / "tls", "localhost")
    with Receiver(certificates=certificates) as receiver:
        home.webhooks.add(receiver.url, ALERT)
        happen(home, "alr_1")
        assert await Sender(home).drain() == (0, 1)
        assert receiver.posts == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
        await asyncio.sleep(1.1)
        assert await Sender(home).drain() == (1, 0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "first",
    [
        pytest.param([500, 503], id="failures of the server"),
        pytest.param([429, 401], id="refusals that pass"),
        pytest.param([302], id="a redirect, which is not followed"),
    ],
)
async def test_tries_again_and_keeps_the_order(home: Installation, first: list[int]) -> None:
    """Nothing overtakes what failed; every attempt has the same id."""
    with Receiver(*first, 200) as receiver:
        home.webhooks.add(receiver.url, ALERT)
        happen(home, "alr_1", "alr_2", "alr_3")
        await send_all(home)
    ids = [news["id"] for news in receiver.news]
    assert ids == ["alr_1"] * (len(first) + 1) + ["alr_2", "alr_3"]


@pytest.mark.usefixtures("impatient")
async def test_a_receiver_that_was_down_gets_everything(home: Installation) -> None:
    """In order, once it is there."""
    (port,) = free_ports(1)
    home.webhooks.add(f"http://localhost:{port}/hook", ALERT)
    happen(home, "alr_1", "alr_2", "alr_3")
    assert await Sender(home).drain() == (0, 1)
    assert states(home)[0] == ("alr_1", "waiting", "ConnectError")
    with Receiver(port=port) as receiver:
        await send_all(home)
    assert [news["id"] for news in receiver.news] == ["alr_1", "alr_2", "alr_3"]


@pytest.mark.usefixtures("impatient")
async def test_what_a_receiver_refuses_is_given_up(home: Installation) -> None:
    """After some attempts the next one has its turn, and the ledger says what was given up."""
    with Receiver(*[400] * MOST_REFUSALS, 200) as receiver:
        home.webhooks.add(receiver.url, ALERT)
        happen(home, "alr_1", "alr_2")
        await send_all(home)
    assert states(home) == [("alr_1", "given_up", "400"), ("alr_2", "delivered", "200")]
    told = [e["body"] for e in home.ledger.tail(10) if e["body"].get("action") == "webhook.give_up"]
    assert [(body["event"], body["answer"]) for body in told] == [("alr_1", "400")]


@pytest.mark.usefixtures("impatient")
async def test_one_that_hangs_holds_nobody_up(
    home: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither another receiver nor the ledger waits for it."""
    monkeypatch.setattr(sender, "TIME_LIMIT_S", 1.0)
    with Receiver(hang_s=5) as hanging, Receiver() as quick:
        home.webhooks.add(hanging.url, ALERT)
        home.webhooks.add(quick.url, ALERT)
        started = time.monotonic()
        async with sending(home):
            for number in range(50):
                await home.ledger.decide([Event(f"alr_{number}", time.time(), "alert")])
            assert time.monotonic() - started < 20
            while True:
                if len(quick.posts) >= 50:
                    break
                assert time.monotonic() - started < 40
                await asyncio.sleep(0.02)
    assert {answer for _, state, answer in states(home) if state == "waiting"} <= {"timed out", ""}


async def test_only_one_process_sends(home: Installation) -> None:
    """Another one is told so."""
    first = Sender(home)
    assert await first._in_turn()
    with pytest.raises(AlertError, match="sending already"):
        await Sender(home).drain()
    first.stop()
    assert await Sender(home).drain() == (0, 0)


async def drained(home: Installation) -> tuple[int, int]:
    return await Sender(home).drain()


KILLED = """
import asyncio, os, signal, sys, time
from interlock.installation import Installation
from interlock.ledger import Event
from interlock.settings import Settings

async def main():
    home = Installation(Settings.load(home=sys.argv[1]))
    for number in range(1_000_000):
        await home.ledger.decide([Event(f"alr_{number}", time.time(), "alert")])
        print(number, flush=True)

asyncio.run(main())
"""


def test_a_killed_process_loses_nothing(home: Installation) -> None:
    """What its ledger has is told by the next that sends; what it has not, is not."""
    with Receiver() as receiver:
        home.webhooks.add(receiver.url, ALERT)
        command = [sys.executable, "-c", KILLED, str(home.settings.home)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout
            while int(process.stdout.readline()) < 20:
                pass
            process.send_signal(signal.SIGKILL)
        asyncio.run(drained(home))
        recorded = [e["id"] for e in home.ledger.tail(100_000) if e["kind"] == "alert"]
    assert len(recorded) > 20
    assert [news["id"] for news in receiver.news] == recorded


@pytest.mark.parametrize(
    ("attempts", "answer", "now", "hopeless"),
    [
        pytest.param(MOST_REFUSALS - 2, "404", 0.0, False, id="refused, but not often"),
        pytest.param(MOST_REFUSALS - 1, "404", 0.0, True, id="refused once too often"),
        pytest.param(99, "429", 0.0, False, id="asked to wait"),
        pytest.param(99, "500", GIVE_UP_AFTER_S, False, id="down for three days"),
        pytest.param(99, "timed out", GIVE_UP_AFTER_S + 1, True, id="and longer"),
    ],
)
def test_when_there_is_no_hope(attempts: int, answer: str, now: float, hopeless: bool) -> None:
    """A refusal is final after some attempts, a failure after some days."""
    assert is_hopeless(replace(WAITING, attempts=attempts), answer, now) is hopeless


def test_waits_twice_as_long_each_time() -> None:
    """Up to a limit, and at least half of it."""
    assert [delay(attempts, 1.0) for attempts in range(4)] == [1, 2, 4, 8]
    assert (delay(9, 0.0), delay(10_000, 1.0)) == (150, 300)


def test_httpx_is_what_refuses_to_follow() -> None:
    """The client is made without redirects and without the proxies of the environment."""
    client = sender.new_client()
    assert (client.follow_redirects, client.trust_env) == (False, False)
    assert isinstance(client, httpx.AsyncClient)
