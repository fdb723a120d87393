"""Keys and revocations: seen by every process at once, and each change recorded."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from interlock.delegation import PublicKey, kid_of
from interlock.errors import RegistryError, StoreError
from interlock.installation import Installation
from interlock.model import Entity
from interlock.settings import Settings
from interlock.store.delegations import Delegations

ADA = Entity("User", "ada")
KEY = SigningKey(b"k" * 32).verify_key
KID = kid_of(KEY)
LINK = "dlg_" + "0" * 20


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with Installation(Settings.load(home=tmp_path / "home")) as installation:
        yield installation


@pytest.fixture
def delegations(installation: Installation) -> Delegations:
    return Delegations(installation.database, installation.ledger.admin)


def test_a_key_is_known_by_its_name(delegations: Delegations) -> None:
    """With its holder, until it is revoked, and after."""
    assert delegations.keys == {}
    assert delegations.add_key(ADA, KEY) == KID
    assert delegations.keys == {KID: PublicKey(ADA, KEY)}
    delegations.revoke_key(KID)
    assert delegations.keys[KID].revoked_at is not None


def test_a_key_has_one_holder_for_ever(delegations: Delegations) -> None:
    """Nobody else registers it, and a revoked one does not come back."""
    delegations.add_key(ADA, KEY)
    delegations.revoke_key(KID)
    for holder in (ADA, Entity("Agent", "x")):
        with pytest.raises(RegistryError, match="registered already"):
            delegations.add_key(holder, KEY)
    for kid in (KID, "0" * 16):
        with pytest.raises(RegistryError, match="no key"):
            delegations.revoke_key(kid)


def test_a_revoked_link_is_seen_by_others_at_once(
    installation: Installation, delegations: Delegations
) -> None:
    """A second reader of the same file, as another process would be."""
    other = Delegations(installation.database, installation.ledger.admin)
    assert other.revoked == frozenset()
    delegations.revoke_link(LINK)
    assert other.revoked == {LINK}
    with pytest.raises(RegistryError, match="revoked already"):
        other.revoke_link(LINK)


def test_every_change_is_recorded(installation: Installation, delegations: Delegations) -> None:
    """Who may sign, and what was taken back, with the reason; a refused change leaves nothing."""
    delegations.add_key(ADA, KEY)
    delegations.revoke_key(KID, "lost laptop")
    delegations.revoke_link(LINK, "project over")
    with pytest.raises(RegistryError):
        delegations.revoke_link(LINK)
    bodies = [row["body"] for row in installation.ledger.tail(9)]
    assert [body["action"] for body in bodies] == ["key.add", "key.revoke", "delegation.revoke"]
    assert bodies[0]["after"] == bodies[1]["before"] == {"holder": 'User::"ada"'}
    assert [body.get("reason") for body in bodies] == [None, "lost laptop", "project over"]


def test_a_row_that_we_did_not_write_is_named(
    installation: Installation, delegations: Delegations
) -> None:
    """A key that cannot be read is no key, and no traceback either."""
    delegations.add_key(ADA, KEY)
    installation.database.write(
        lambda connection: connection.execute("update public_keys set public = x'00'")
    )
    with pytest.raises(StoreError, match=KID):
        _ = delegations.keys
