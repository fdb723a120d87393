"""The laws of key files: rotated, retired, removed, and what a running broker makes of it."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from broker import (
    Broker,
    Grant,
    KeyFileError,
    KeyFolder,
    Keyring,
    Secret,
    TokenForgedError,
    TokenReplayedError,
    Wire,
)
from broker.capability import MAX_TTL
from broker.claims import CLOCK_SKEW
from broker.keyfolder import LAST, RETIRED_S

NOW = 1_800_000_000.0


def rotate(folder: Path, at: float) -> None:
    """Make the next key as if the clock said `at`."""
    os.utime(KeyFolder(folder, "sct").rotate(), (at, at))


def test_a_running_broker_takes_up_a_rotation(
    tmp_path: Path, grant: Grant, secret: Secret, wire: Wire
) -> None:
    """The new key signs, and a token of the old one is still good: also just before its end."""
    ring = Keyring.open(tmp_path, "sct")
    broker, before = Broker(ring), ring.kid
    assert not ring.renew(NOW)
    rotate(tmp_path, NOW)
    old = broker.issue(replace(grant, ttl=MAX_TTL), secret, NOW)
    assert ring.renew(NOW)
    assert ring.kid != before
    new = broker.issue(replace(grant, id="sct_2"), secret, NOW)
    assert broker.redeem(new, wire, NOW) is secret
    last = NOW + MAX_TTL + CLOCK_SKEW - 1
    ring.renew(last)
    assert broker.redeem(old, wire, last) is secret


def test_a_retired_key_ends_with_its_last_token(tmp_path: Path) -> None:
    """When no token of it can be good any more, the key verifies nothing and its file is gone."""
    ring = Keyring.open(tmp_path, "sct")
    old = ring.kid
    rotate(tmp_path, NOW)
    ring.renew(NOW + RETIRED_S - 1)
    assert ring.verify_key(old)
    assert not ring.renew(NOW + RETIRED_S)
    with pytest.raises(TokenForgedError):
        ring.verify_key(old)
    assert [path.name for path in tmp_path.iterdir()] == ["sct-0002.key"]
    assert Keyring.open(tmp_path, "sct").kid == ring.kid


def test_what_has_ended_is_not_used_where_it_cannot_be_removed(tmp_path: Path) -> None:
    """Opened anew, a ring leaves out a key that still lies there."""
    old = Keyring.open(tmp_path, "sct").kid
    rotate(tmp_path, 1.0)
    with pytest.raises(TokenForgedError):
        Keyring.open(tmp_path, "sct").verify_key(old)


def test_rotations_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    """Each makes a key of its own or is told that another was faster."""
    KeyFolder(tmp_path, "sct").furnish()

    def turn(_: int) -> Path | None:
        try:
            return KeyFolder(tmp_path, "sct").rotate()
        except KeyFileError:
            return None

    with ThreadPoolExecutor(8) as pool:
        made = [path for path in pool.map(turn, range(16)) if path]
    assert len(set(made)) == len(made) == len(list(tmp_path.iterdir())) - 1


def test_a_key_that_others_can_read_is_told_once_and_changes_nothing(tmp_path: Path) -> None:
    """The ring stays as it was, and nobody is told the same twice a second."""
    ring = Keyring.open(tmp_path, "sct")
    before = ring.kid
    KeyFolder(tmp_path, "sct").rotate().chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        ring.renew(NOW)
    assert not ring.renew(NOW)
    assert ring.kid == before


def test_looking_makes_no_key(tmp_path: Path) -> None:
    """Who lists the keys of an empty folder finds none, and leaves none."""
    assert KeyFolder(tmp_path, "sct").kept() == []
    assert list(tmp_path.iterdir()) == []


def test_the_numbers_end_with_a_clear_line(tmp_path: Path) -> None:
    """Nothing is overwritten when there is no higher number."""
    Keyring.open(tmp_path, "sct")
    (tmp_path / "sct-0001.key").rename(tmp_path / f"sct-{LAST}.key")
    with pytest.raises(KeyFileError, match="last number"):
        KeyFolder(tmp_path, "sct").rotate()


def test_a_rotation_gives_nobody_a_second_chance(
    tmp_path: Path, grant: Grant, secret: Secret, wire: Wire
) -> None:
    """What was spent under the old key is spent under the new one."""
    ring = Keyring.open(tmp_path, "sct")
    broker = Broker(ring)
    token = broker.issue(grant, secret, NOW)
    broker.redeem(token, wire, NOW)
    rotate(tmp_path, NOW)
    ring.renew(NOW)
    with pytest.raises(TokenReplayedError):
        broker.redeem(token, wire, NOW)
