"""One token, many processes, a kill -9, a restart: it is worth its secret once, or never (I3)."""

import asyncio
import hashlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from broker import Secret, TokenError, TokenReplayedError, Wire
from interlock.governor import Governor, Verdict
from interlock.installation import Installation
from interlock.model import Agent, Authority, Binding, Request, Trust
from interlock.settings import Settings

KEY = "sk-REAL-5e2a4f607f3b9c1d"
OPENAI = Authority("api.openai.com", 443)
BODY = b'{"model": "gpt-4o", "messages": []}'
PATH = "/v1/chat/completions"
WIRE = Wire("POST", str(OPENAI), PATH, hashlib.sha256(BODY).digest(), verified=True)
AT_ONCE = 16
SPAWN = multiprocessing.get_context("spawn")
WAIT_S = 120


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with an agent and a secret."""
    home = tmp_path_factory.mktemp("spent") / "home"
    with Installation(Settings.load(home=home)) as opened:
        opened.registry.add(Agent("research-agent", owner="ada", trust=Trust.TRUSTED))
        binding = Binding("openai-api-key", OPENAI, "bearer", service="openai")
        opened.set_secret("openai-api-key", Secret(KEY), [binding])
    return home


@dataclass(frozen=True)
class Issuer:
    """A process that has issued a token and holds the right to redeem it."""

    process: BaseProcess
    line: Connection
    token: str

    def redeem(self) -> int:
        """Have many of its threads redeem the token at once; answer how many got the secret."""
        self.line.send("redeem")
        assert self.line.poll(WAIT_S)
        return int(self.line.recv())


@pytest.fixture
def issuer(home: Path) -> Iterator[Issuer]:
    """Started, and ended by force if the test has not."""
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=_issue, args=(home, there), daemon=True)
    process.start()
    assert here.poll(WAIT_S)
    yield Issuer(process, here, here.recv())
    process.kill()
    process.join()


def test_of_four_processes_one_thread_gets_the_secret(home: Path, issuer: Issuer) -> None:
    """64 redemptions at once, 16 in each process: the issuer has one, the three others none."""
    with SPAWN.Pool(3) as others:
        tries = others.starmap_async(_redeem_elsewhere, [(home, issuer.token)] * 3)
        assert issuer.redeem() == 1
        assert tries.get(WAIT_S) == [0, 0, 0]
    assert issuer.redeem() == 0


def test_a_killed_process_takes_the_right_with_it(home: Path, issuer: Issuer) -> None:
    """Killed between issuing and redeeming: the token is valid for long, and opens nothing.

    Its id is spent, its decision and the access are in the ledger, and the ledger is intact.
    """
    os.kill(issuer.process.pid or 0, signal.SIGKILL)
    issuer.process.join(WAIT_S)
    with Installation(Settings.load(home=home)) as opened:
        restarted = Governor(opened)
        with pytest.raises(TokenReplayedError) as caught:
            restarted.broker.redeem(issuer.token, WIRE, time.time())
        spent = [row["id"] for row in opened.database.rows("select id from spent_tokens")]
        assert caught.value.token_id in spent
        accesses = [e for e in opened.ledger.tail(100) if e["kind"] == "secret_access"]
        assert accesses[-1]["body"]["token"] == caught.value.token_id
        assert opened.ledger.verify().intact


def _issue(home: Path, line: Connection) -> None:
    """Govern one call as a front door does; then redeem as often as the test asks."""
    with Installation(Settings.load(home=home)) as opened:
        governor = Governor(opened)
        verdict = asyncio.run(governor.govern(_chat(), opened.registry.get("research-agent"), {}))
        assert verdict.capability
        line.send(verdict.capability.token)
        while line.recv() == "redeem":
            line.send(_successes(governor, verdict.capability.token, verdict))


def _redeem_elsewhere(home: Path, token: str) -> int:
    with Installation(Settings.load(home=home)) as opened:
        return _successes(Governor(opened), token)


def _successes(governor: Governor, token: str, verdict: Verdict | None = None) -> int:
    def redeem(_: int) -> bool:
        try:
            if verdict and verdict.capability:
                secret = governor.redeem(verdict, verdict.capability, token, WIRE)
            else:
                secret = governor.broker.redeem(token, WIRE, time.time())
        except TokenError:
            return False
        return secret == Secret(KEY)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(pool.map(redeem, range(AT_ONCE)))


def _chat() -> Request:
    return Request("POST", "https", OPENAI, PATH, BODY, "application/json")
