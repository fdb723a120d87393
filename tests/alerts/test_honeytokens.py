"""The planted keys at rest: sealed, apart from secrets, and never one that somebody needs."""

import pytest

from broker import Secret, SecretUnavailableError
from interlock.alerts.honeytokens import MOST, planted
from interlock.errors import AlertError
from interlock.installation import Installation
from interlock.model import Agent, Authority, Binding, Trust

VALUE = "ghp_Kq3v9ZtLw2mXr8bNc5yHs7dJf4gPa1eUoT6i"
BOUND = [Binding("real", Authority("api.example", 443), "bearer")]


def test_is_found_until_it_is_removed(home: Installation) -> None:
    """From the next request on, either way."""
    assert not home.honeytokens.detector
    home.honeytokens.plant("wiki", Secret(VALUE))
    assert home.honeytokens.detector.find([VALUE.encode()]) == "wiki"
    assert [each.name for each in planted(home.database)] == ["wiki"]
    home.honeytokens.remove("wiki")
    assert not home.honeytokens.detector


def test_is_no_secret(home: Installation) -> None:
    """It has no name among the secrets, so nothing can bind or inject it, even by a moved row."""
    home.honeytokens.plant("wiki", Secret(VALUE))
    assert home.secrets() == []
    sql = "insert into secrets select 'real', sealed, updated_at from honeytokens"
    home.database.write(lambda connection: connection.execute(sql))
    with pytest.raises(SecretUnavailableError):
        home.secret("real")


def test_a_secret_cannot_be_planted_nor_a_planted_value_stored(home: Installation) -> None:
    """Whichever comes first; also where the one is a part of the other."""
    home.set_secret("real", Secret(f"token {VALUE}"), BOUND)
    with pytest.raises(AlertError, match="that of secret 'real'"):
        home.honeytokens.plant("wiki", Secret(VALUE))
    home.remove_secret("real")
    home.honeytokens.plant("wiki", Secret(VALUE))
    with pytest.raises(AlertError, match="planted as honeytoken 'wiki'"):
        home.set_secret("real", Secret(VALUE), BOUND)
    assert home.secrets() == []


def test_the_key_of_an_agent_cannot_be_planted(home: Installation) -> None:
    """It would cut off an agent that does nothing wrong."""
    key = home.registry.add(Agent("one"))
    with pytest.raises(AlertError, match="an agent's own key"):
        home.honeytokens.plant("wiki", Secret(key))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("x" * 15, id="too short"),
        pytest.param("x" * 513, id="too long"),
        pytest.param("application json", id="two words"),
    ],
)
def test_refuses_what_innocent_requests_hold(home: Installation, value: str) -> None:
    """A value must be one that nobody sends by chance."""
    with pytest.raises(AlertError, match="honeytoken wiki: a planted value has 16 to 512 bytes"):
        home.honeytokens.plant("wiki", Secret(value))


def test_there_is_a_limit(home: Installation) -> None:
    """Each costs every request a search."""
    for number in range(MOST):
        home.honeytokens.plant(f"n{number}", Secret(f"{VALUE}{number}"))
    with pytest.raises(AlertError, match="limit"):
        home.honeytokens.plant("more", Secret(VALUE))


def test_quarantine_is_part_of_the_transaction(home: Installation) -> None:
    """It names who ordered it, and undoes nothing when there is nobody to cut off."""
    home.registry.add(Agent("one", trust=Trust.TRUSTED))

    def cut_off(name: str) -> bool:
        quarantine = home.registry.quarantine
        return home.database.write(lambda c: quarantine(c, name, "honeytoken:wiki", "used"))

    assert [cut_off("one"), cut_off("one"), cut_off("nobody")] == [True, False, False]
    assert home.registry.get("one").trust is Trust.QUARANTINED
    assert home.ledger.tail(1)[0]["body"]["actor"] == "honeytoken:wiki"
    home.registry.set_trust("one", Trust.REVOKED)
    assert not cut_off("one")
