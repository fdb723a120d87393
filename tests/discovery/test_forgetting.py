"""What was found and is gone is forgotten after a day, unless somebody judged it."""

import time

import pytest

from interlock.demo.front_door import FrontDoor
from interlock.discovery.sighting import Kind, Sighting
from interlock.forgetting import EVERY_S, KEEP_S, Forgetting
from interlock.installation import Installation
from interlock.inventory import Change
from interlock.model import Agent, Trust
from tests.discovery.conftest import Look
from tests.discovery.test_scanners import Told, an_agent

LEFT = 5e9
SEEN = Told(
    "files",
    [
        an_agent("files:a", "bot"),
        Sighting("files", "files:s", Kind.SERVER, "tools", command="npx", args=("x",)),
    ],
)


def names(installation: Installation) -> set[str]:
    """Everything that is registered."""
    agents = {agent.name for agent in installation.registry.all()}
    return agents | {one.server.name for one in installation.servers.all()}


def test_what_went_stale_is_forgotten_after_a_day(installation: Installation, look: Look) -> None:
    """Not before, and not while it is seen; the ledger says that nobody in person did it."""
    look(SEEN, now=1.0)
    assert Forgetting(installation).tick(LEFT) == []
    look(Told("files"), now=LEFT)
    assert Forgetting(installation).tick(LEFT + KEEP_S - 1) == []
    gone = Forgetting(installation).tick(LEFT + KEEP_S + EVERY_S)
    assert (sorted(gone), names(installation)) == (["bot", "tools"], set())
    removed = [e["body"] for e in installation.ledger.tail(10) if ".rm" in str(e["body"])]
    assert {body["actor"] for body in removed} == {"interlock"}
    assert look(SEEN)["bot"].change is Change.NEW


@pytest.mark.parametrize("trust", [Trust.TRUSTED, Trust.QUARANTINED, Trust.REVOKED], ids=str)
def test_what_was_judged_stays_and_is_known_when_it_returns(
    installation: Installation, look: Look, trust: Trust
) -> None:
    """Staying away for a day makes nobody a newcomer."""
    look(SEEN)
    installation.registry.set_trust("bot", trust)
    installation.servers.set_trust("tools", trust)
    look(Told("files"), now=LEFT)
    assert Forgetting(installation).tick(LEFT + 2 * KEEP_S) == []
    assert set(look(SEEN)) == {"bot", "tools"}
    assert installation.registry.get("bot").trust is trust


def test_what_got_a_key_stays(installation: Installation, look: Look) -> None:
    """Somebody means to use it, from wherever."""
    look(SEEN)
    installation.registry.rotate_key("bot")
    look(Told("files"), now=LEFT)
    assert Forgetting(installation).tick(LEFT + 2 * KEEP_S) == ["tools"]


def test_of_several_processes_one_a_minute_does_it(installation: Installation) -> None:
    """Whoever comes first; in between, nobody does."""
    one, other = Forgetting(installation), Forgetting(installation)
    installation.registry.add(Agent("brief"), lease_s=1)
    assert one.tick(LEFT) == ["brief"]
    installation.registry.add(Agent("brief"), lease_s=1)
    assert [each.tick(LEFT + EVERY_S - 1) for each in (one, other)] == [[], []]
    assert other.tick(LEFT + 2 * EVERY_S) == ["brief"]


def test_a_front_door_does_it_too(installation: Installation) -> None:
    """Nothing else need run for a name to become free."""
    for name, trust in (("brief", Trust.UNVERIFIED), ("known", Trust.TRUSTED)):
        installation.registry.add(Agent(name, trust=trust), lease_s=1)
    installation.database.write(lambda c: c.execute("update leases set renewed_at = 0"))
    with FrontDoor(installation.settings.home):
        deadline = time.monotonic() + 30
        while "brief" in names(installation):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert names(installation) == {"known"}
