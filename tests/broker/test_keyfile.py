"""The laws of key files, on a real file system."""

import itertools
import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from broker import KeyFileError
from broker.keyfile import load_key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "sct-0001.key"


def test_makes_a_key_that_stays(path: Path) -> None:
    """The first call makes 32 random bytes, every later one returns them."""
    key = load_key(path)
    assert len(key) == 32
    assert load_key(path) == path.read_bytes() == key
    assert load_key(path.with_name("other.key")) != key


def test_keeps_a_key_to_its_owner(path: Path) -> None:
    """Directory 0700, file 0600, whatever the umask; nothing else is left behind."""
    before = os.umask(0)
    try:
        load_key(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert path.parent.stat().st_mode & 0o7777 == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_threads_that_race_get_one_key(tmp_path: Path) -> None:
    """However many begin at once, one key is made and all have it."""
    for attempt in range(20):
        path, start = tmp_path / str(attempt) / "a.key", threading.Barrier(16)

        def load(path: Path = path, start: threading.Barrier = start) -> bytes:
            start.wait()
            return load_key(path)

        with ThreadPoolExecutor(16) as pool:
            keys = {future.result() for future in [pool.submit(load) for _ in range(16)]}
        assert keys == {path.read_bytes()}


def test_processes_that_race_get_one_key(path: Path) -> None:
    """The same over processes."""
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert set(pool.map(load_key, [path] * 16, chunksize=1)) == {path.read_bytes()}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o700, 0o4600])
def test_refuses_a_mode_wider_than_0600(path: Path, mode: int) -> None:
    """A key that others could read is no key; the message says which chmod."""
    load_key(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=r"sct-0001\.key' has mode 0?\d+, .*: chmod 600 it$"):
        load_key(path)


def test_accepts_a_mode_narrower_than_0600(path: Path) -> None:
    """A read-only key is as good."""
    key = load_key(path)
    path.chmod(0o400)
    assert load_key(path) == key


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_refuses_a_wrong_size(path: Path, size: int) -> None:
    """A truncated or foreign file is not taken for a key, and is not replaced either."""
    load_key(path)
    path.write_bytes(bytes(size))
    with pytest.raises(KeyFileError, match="has the wrong size"):
        load_key(path)
    assert path.stat().st_size == size


def test_refuses_a_symbolic_link(path: Path) -> None:
    """Neither a link to a good key nor a dangling one is followed or replaced."""
    good = path.with_name("good.key")
    load_key(good)
    for target in (good, path.with_name("nowhere.key")):
        path.symlink_to(target)
        with pytest.raises(KeyFileError, match="is a symbolic link"):
            load_key(path)
        path.unlink()
    assert list(path.parent.iterdir()) == [good]


def test_refuses_what_is_no_file(path: Path) -> None:
    """A directory or a pipe in the key's place is refused, without waiting for a writer."""
    path.mkdir(parents=True, mode=0o700)
    with pytest.raises(KeyFileError, match="is not a plain file"):
        load_key(path)
    path.rmdir()
    os.mkfifo(path, 0o600)
    with pytest.raises(KeyFileError, match="is not a plain file"):
        load_key(path)


@pytest.mark.parametrize(("at", "name"), [(1, "keys"), (2, "sct-0001.key")])
def test_refuses_another_owner(
    path: Path, monkeypatch: pytest.MonkeyPatch, at: int, name: str
) -> None:
    """Directory and file, each is good only for the user that it belongs to."""
    load_key(path)
    owner, asked = os.geteuid(), itertools.count(1)
    monkeypatch.setattr(os, "geteuid", lambda: owner + (next(asked) == at))
    with pytest.raises(KeyFileError, match=f"{name}' belongs to another user$"):
        load_key(path)


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_refuses_a_directory_that_others_can_change(path: Path, mode: int) -> None:
    """Who can write in the directory could put a key of his own in place."""
    load_key(path)
    path.parent.chmod(mode)
    with pytest.raises(KeyFileError, match=r"keys' can be changed by other users: chmod 700 it$"):
        load_key(path)


def test_says_why_when_there_is_no_way(path: Path) -> None:
    """What the file system refuses comes out as a KeyFileError of one line."""
    path.parent.write_text("a file where the directory should be")
    with pytest.raises(KeyFileError) as caught:
        load_key(path)
    assert len(str(caught.value).splitlines()) == 1
