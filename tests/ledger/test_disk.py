"""What a checkpoint or an archive relies on is on disk first: the bytes, and the names."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from broker import Keyring
from interlock.ledger import Archive, Trail
from interlock.ledger.checkpoint import Head
from interlock.ledger.disk import put

OURS = Keyring([SigningKey(bytes(range(32)))])
ROW = ("n", 1, "evt_1", 1.0, "decision", "a", "dec_1", "{}", bytes(32), bytes(32))


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what was synced, in order."""
    names: list[str] = []
    fsync = os.fsync

    def told(handle: int) -> None:
        names.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", told)
    return names


def checkpoint(home: Path) -> None:
    """Write one."""
    Trail(home / "kept").write({"n": Head(1, "ab")}, OURS, 1.7e9)


def archive(home: Path) -> None:
    """Store one row."""
    Archive(home / "kept").store([ROW], OURS)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="/proc is there on Linux only")
@pytest.mark.parametrize("keep", [checkpoint, archive])
def test_every_file_and_its_name_is_synced(
    tmp_path: Path, synced: list[str], keep: Callable[[Path], None]
) -> None:
    """Also the public key, without which nothing verifies, and the folder when it is new."""
    keep(tmp_path)
    for path in (tmp_path / "kept").iterdir():
        assert any(path.name in name for name in synced) or path.name == ".lock", path.name
    assert synced[0] == tmp_path.name
    assert synced[-1] == "kept"
    assert not [path for path in (tmp_path / "kept").iterdir() if str(os.getpid()) in path.suffix]


def test_what_was_there_is_replaced_whole(tmp_path: Path) -> None:
    """By another file under the same name: who reads the old one reads it to its end."""
    put(tmp_path / "a", b"before")
    with (tmp_path / "a").open("rb") as old:
        put(tmp_path / "a", b"now", mode=0o644)
        assert old.read() == b"before"
    assert (tmp_path / "a").read_bytes() == b"now"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
