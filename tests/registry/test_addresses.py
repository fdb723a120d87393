"""The weakest proof: an address stands for an agent in its network, alone, and for a short time."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.errors import IdentityError
from interlock.installation import Installation
from interlock.model import Agent, Trust
from interlock.registry import Addresses, Holder, Whence
from interlock.registry.addresses import LEASE_S
from interlock.settings import Settings

NOW = 1_000.0
NETWORK = "10.1.0.0/24"
CREW = Holder("10.1.0.7", NETWORK, "crew", "c1")


@pytest.fixture
def addresses(tmp_path: Path) -> Iterator[Addresses]:
    """A home with one agent, whose container has an address."""
    with Installation(Settings.load(home=tmp_path)) as installation:
        installation.registry.add(Agent("crew"))
        installation.addresses.bind([CREW], NOW)
        yield installation.addresses


def at(addresses: Addresses, peer: str, local: str = "10.1.0.1", now: float = NOW) -> str:
    """The agent that a connection proves, by name; empty for nobody."""
    found = addresses.agent_at(Whence(peer, local), now)
    return found.name if found else ""


@pytest.mark.parametrize(
    ("peer", "local", "agent"),
    [
        pytest.param("10.1.0.7", "10.1.0.1", "crew", id="from its network to its gateway"),
        pytest.param("::ffff:10.1.0.7", "::ffff:10.1.0.1", "crew", id="IPv4 mapped into IPv6"),
        pytest.param("10.1.0.7", "192.0.2.1", "", id="to an address outside of the network"),
        pytest.param("10.1.0.7", "127.0.0.1", "", id="to loopback"),
        pytest.param("10.1.0.8", "10.1.0.1", "", id="from an address that nobody has"),
        pytest.param("10.1.0.7", "10.1.0.7", "", id="from the front door itself"),
        pytest.param("10.1.0.7' or 1=1 --", "10.1.0.1", "", id="from no address"),
    ],
)
def test_both_ends_lie_in_the_network(
    addresses: Addresses, peer: str, local: str, agent: str
) -> None:
    """What came through a router or a translation of addresses may be anybody."""
    assert at(addresses, peer, local) == agent


def test_an_address_of_two_containers_stands_for_nobody(addresses: Addresses) -> None:
    """Not even for the one that had it first."""
    other = Holder(CREW.ip, NETWORK, "crew", "c2")
    assert addresses.bind([CREW, other], NOW) == []
    assert at(addresses, CREW.ip) == ""


def test_a_lease_that_has_ended_is_not_renewed(addresses: Addresses) -> None:
    """Renewing prolongs what holds; what lapsed waits for the next look."""
    addresses.renew(NOW + LEASE_S - 1)
    assert at(addresses, CREW.ip, now=NOW + LEASE_S + 1) == "crew"
    late = NOW + 3 * LEASE_S
    assert at(addresses, CREW.ip, now=late) == ""
    addresses.renew(late)
    assert at(addresses, CREW.ip, now=late) == ""
    assert addresses.lapsed_since(NOW, late)


def test_what_ends_takes_its_addresses_with_it(addresses: Addresses) -> None:
    """The proof of a connection that is open ends as well."""
    whence = Whence(CREW.ip, "10.1.0.1")
    assert addresses.require(whence, "crew", NOW).trust is Trust.UNVERIFIED
    with pytest.raises(IdentityError):
        addresses.require(whence, "other", NOW)
    addresses.release("c1")
    with pytest.raises(IdentityError):
        addresses.require(whence, "crew", NOW)
