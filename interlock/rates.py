"""How many requests an agent makes a second, counted by all front doors of a home together."""

import hashlib
import mmap
import os
import struct
from functools import lru_cache
from pathlib import Path

SLOTS = 1 << 16
SLOT = struct.Struct("=d")
# How far ahead of its rate an agent may be: what it did not use for so long.
BURST_S = 1.0


class Rates:
    """Token buckets in memory that processes share, one for each agent.

    A bucket is one number: the moment at which it will be full again (the generic cell rate
    algorithm, ITU-T I.371, which is a token bucket). Nobody waits for a lock: two processes that
    take at the same instant may count two requests as one, so the rate holds approximately.
    """

    def __init__(self, path: Path) -> None:
        """Share the file at `path`, made when it is missing; raises OSError."""
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.ftruncate(handle, SLOTS * SLOT.size)
            self._shared = mmap.mmap(handle, SLOTS * SLOT.size)
        finally:
            os.close(handle)

    def take(self, who: str, most: int, now: float) -> float:
        """Take one request of `most` a second; answer 0, or the seconds until there is one.

        `now` is of the monotonic clock, which all processes of a machine share. It begins anew
        when the machine does; what a bucket says from before is forgotten.
        """
        at = _slot(who)
        (full,) = SLOT.unpack_from(self._shared, at)
        if not now < full <= now + BURST_S:
            full = now
        taken = full + 1 / most
        if taken > now + BURST_S:
            return float(taken - now - BURST_S)
        SLOT.pack_into(self._shared, at, taken)
        return 0.0

    def close(self) -> None:
        """Give the memory back."""
        self._shared.close()


@lru_cache(1024)
def _slot(who: str) -> int:
    digest = hashlib.blake2b(who.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) % SLOTS * SLOT.size
