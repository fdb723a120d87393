"""What is kept in memory between calls is never older than the last change, but for a moment."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker import Secret, SecretUnavailableError
from interlock.errors import IdentityError
from interlock.installation import Installation
from interlock.model import Agent, Authority, Binding, Trust
from interlock.settings import Settings
from interlock.store import database
from interlock.store.database import FRESH_S
from interlock.store.job import Job

AT = Authority("api.example.com", 443)
BOUND = Binding("one", AT, "bearer")
AGENTS = frozenset({"bot"})


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Installation]:
    with Installation(Settings.load(home=tmp_path / "home")) as installation:
        yield installation


def elsewhere(records: Installation, *words: str) -> None:
    """Run a command of ours in another process."""
    program = Path(sys.executable).parent / "interlock"
    environ = {**os.environ, "INTERLOCK_HOME": str(records.settings.home)}
    subprocess.run([program, *words], check=True, capture_output=True, env=environ)


def test_a_change_of_this_process_holds_at_once(
    records: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even one that another object over the same file makes, however long others may wait."""
    monkeypatch.setattr(database, "FRESH_S", 3600.0)
    key = records.registry.add(Agent("bot", trust=Trust.TRUSTED))
    with Installation(records.settings) as other:
        assert other.registry.prove(key, time.time()).trust is Trust.TRUSTED
        records.registry.set_trust("bot", Trust.QUARANTINED)
        assert other.registry.prove(key, time.time()).trust is Trust.QUARANTINED
        other.registry.rotate_key("bot")
        with pytest.raises(IdentityError):
            records.registry.prove(key, time.time())


def test_a_change_of_another_process_holds_a_moment_later(records: Installation) -> None:
    """A revoked agent, a secret that is unbound and one that is forgotten."""
    key = records.registry.add(Agent("bot", trust=Trust.TRUSTED))
    records.set_secret("one", Secret("sk-one-0123456789"), [BOUND])
    assert records.registry.prove(key, time.time()).trust is Trust.TRUSTED
    assert records.bindings.at(AT) == (BOUND,)
    assert records.secret("one") == Secret("sk-one-0123456789")
    elsewhere(records, "agent", "revoke", "bot")
    elsewhere(records, "secret", "rm", "one")
    time.sleep(FRESH_S)
    assert records.registry.prove(key, time.time()).trust is Trust.REVOKED
    assert records.bindings.at(AT) == ()
    with pytest.raises(SecretUnavailableError):
        records.secret("one")


class Plain(Job):
    """A plain piece of work that does nothing but tell that it is over."""

    def __init__(self) -> None:
        super().__init__(scribe=self)
        self.done = threading.Event()

    def write(self, connection: sqlite3.Connection, jobs: Sequence[Any]) -> None:
        """Write nothing."""

    def over(self) -> None:
        """Tell."""
        self.done.set()


def test_who_writes_looks_for_changes_of_other_processes(
    records: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is plain moves nothing itself, and what others have moved is known from then on."""
    monkeypatch.setattr(database, "FRESH_S", 3600.0)
    here = records.database
    before = here.change
    with closing(sqlite3.connect(here.path)) as other, other:
        other.execute("update meta set value = value + 1 where key = 'change'")
    assert here.change == before
    monkeypatch.setattr(database, "FRESH_S", 7200.0)  # half of which is over
    here.hand_over([job := Plain()])
    assert job.done.wait(10)
    assert here.change == before + 1


async def test_a_change_to_agents_opens_no_secret_again(records: Installation) -> None:
    """What is kept of bindings, secrets and masks rests on these alone; agents come and go."""
    records.set_secret("one", Secret("sk-one-0123456789"), [BOUND])
    kept = records.secret("one"), records.bindings.at(AT), records.mask_at(AT)
    records.registry.add(Agent("bot"))
    assert all(
        now is before
        for now, before in zip(
            (records.secret("one"), records.bindings.at(AT), records.mask_at(AT)), kept, strict=True
        )
    )
    records.set_secret("one", Secret("sk-one-0123456789"), [replace(BOUND, agents=AGENTS)])
    assert [bound.agents for bound in records.bindings.at(AT)] == [AGENTS]
    records.registry.remove("bot")
    assert records.bindings.at(AT) == (), "with its agent went what was for it alone"


async def test_answers_are_scrubbed_of_a_value_that_was_just_replaced(
    records: Installation,
) -> None:
    """And of the new one, though the first was noted once and for all."""
    records.set_secret("one", Secret("sk-old-0123456789"), [BOUND])
    await records.fetch(BOUND)
    await records.fetch(BOUND)
    records.rotate_secret("one", Secret("sk-new-0123456789"))
    assert await records.fetch(BOUND) == Secret("sk-new-0123456789")
    shown = records.mask_at(AT).scrubber().whole(b"sk-old-0123456789 sk-new-0123456789")
    assert shown.replace(b"*", b"") == b" "
