"""The daemon: it ends when it is told to, and of two over one home each source has one."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from interlock.discovery.sighting import Kind, Sighting
from interlock.installation import Installation
from interlock.patrol import Patrol

ENOUGH_S = 60.0


@dataclass
class Counted:
    """A scanner that counts its looks; each takes as long as `pause` is not set."""

    source: str = "files"
    looks: int = 0
    pause: threading.Event = field(default_factory=threading.Event)

    def scan(self) -> Iterator[Sighting]:
        """See one agent, in time."""
        self.looks += 1
        self.pause.wait(ENOUGH_S)
        yield Sighting(self.source, f"{self.source}:a", Kind.AGENT, "a")


def quick(source: str = "files") -> Counted:
    """A scanner that answers at once."""
    one = Counted(source)
    one.pause.set()
    return one


def until(holds: Callable[[], object]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + ENOUGH_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def running(installation: Installation, *scanners: Counted, every_s: float) -> Iterator[Patrol]:
    """A daemon, for as long as the block runs."""
    patrol = Patrol(installation, scanners, every_s)
    thread = threading.Thread(target=patrol.run, args=(lambda *_: None,))
    thread.start()
    try:
        yield patrol
    finally:
        patrol.stop()
        thread.join(ENOUGH_S)
        assert not thread.is_alive()


def turns(installation: Installation) -> list[str]:
    """Which turns are taken."""
    return [row["name"] for row in installation.database.rows("select name from turns")]


def test_a_look_that_is_under_way_is_given_up(installation: Installation) -> None:
    """The end does not wait for it; nothing is registered, and nothing is held any more."""
    slow = Counted()
    with running(installation, slow, every_s=3600) as patrol:
        until(lambda: slow.looks)
        began = time.monotonic()
        patrol.stop()
    assert time.monotonic() - began < ENOUGH_S / 3
    slow.pause.set()
    assert installation.registry.all() == []
    assert turns(installation) == []


def test_of_two_daemons_one_looks_and_the_other_takes_over(installation: Installation) -> None:
    """Two `discover run` on one home do not do the work twice; a source of its own is its own."""
    first, second, other = quick(), quick(), quick("processes")
    with running(installation, first, every_s=0.1) as one:
        until(lambda: first.looks)
        with running(installation, second, other, every_s=0.1):
            until(lambda: other.looks > 2)
            assert second.looks == 0
            one.stop()
            until(lambda: second.looks)
    told = [json.dumps(e["body"]) for e in installation.ledger.tail(1000)]
    assert sum('"change": "new"' in body for body in told) == 2, "each is found once"


def test_a_look_of_the_start_is_one(installation: Installation) -> None:
    """Taking its turn does not make a daemon look twice."""
    scanner, stirred = quick(), quick("processes")
    with running(installation, scanner, stirred, every_s=3600) as patrol:
        until(lambda: stirred.looks == 1)
        patrol.stirred("processes")
        until(lambda: stirred.looks == 2)
    assert scanner.looks == 1
