"""What takes long to work through is taken in small portions, with others between them."""

import asyncio
from time import thread_time

import pytest

from addons.handler import (
    FIRST_BYTES,
    LEAST_BYTES,
    MOST_AT_ONCE_S,
    MOST_BYTES,
    SMALL_BYTES,
    Portion,
)

PLENTY = bytes(4 * MOST_BYTES)


def work(seconds: float) -> None:
    """Take so much of a processor."""
    until = thread_time() + seconds
    while thread_time() < until:
        pass


def peer(data: bytes = PLENTY) -> Portion:
    """Somebody who has said all that at once."""
    reader = asyncio.StreamReader(limit=len(data))
    reader.feed_data(data)
    return Portion(reader.read, Source())


class Source(asyncio.Transport):
    """Where it comes from."""

    max_size = 0


async def test_what_is_quick_is_taken_all_at_once() -> None:
    """After a few portions, as much as a socket has."""
    portion = peer()
    sizes = []
    for _ in range(5):
        sizes.append(len(await portion.read(65_535)))
        portion.worked_through()
    assert sizes == [FIRST_BYTES << step for step in range(5)]
    assert sizes[-1] == MOST_BYTES


async def test_a_socket_is_asked_for_little_where_little_comes() -> None:
    """As much memory is asked for as might come, and what is large is dear."""
    source, reader = Source(), asyncio.StreamReader(limit=len(PLENTY))
    reader.feed_data(PLENTY)
    portion = Portion(reader.read, source)
    sizes = [source.max_size]
    for _ in range(5):
        await portion.read(65_535)
        portion.worked_through()
        sizes.append(source.max_size)
    assert sizes == [SMALL_BYTES, SMALL_BYTES, SMALL_BYTES, 2 * SMALL_BYTES, MOST_BYTES, MOST_BYTES]


@pytest.mark.parametrize(("times", "least"), [(4, FIRST_BYTES // 8), (1000, LEAST_BYTES)])
async def test_what_takes_long_is_taken_in_less(times: int, least: int) -> None:
    """In as much less as it took longer, and never in nothing."""
    portion = peer()
    await portion.read(65_535)
    work(min(times, 40) * MOST_AT_ONCE_S)
    portion.worked_through()
    assert least <= len(await portion.read(65_535)) <= max(LEAST_BYTES, FIRST_BYTES // 3)


async def test_others_have_their_turn_though_there_is_more() -> None:
    """A reader that has something answers at once, and the loop would never be free."""
    portion, turns = peer(), 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    for _ in range(5):
        await portion.read(65_535)
        work(MOST_AT_ONCE_S)
        portion.worked_through()
    task.cancel()
    assert turns >= 4
