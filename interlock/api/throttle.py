"""How often an address may offer a proof that does not hold."""

import time
from collections import OrderedDict

MOST = 10
WINDOW_S = 60.0
ADDRESSES = 4096


class Throttle:
    """Counts failed proofs by address. A proof that holds is never held up by the failed ones."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, list[float]] = OrderedDict()

    def failed(self, address: str) -> float:
        """Count one more, and answer for how many seconds to stay away; 0 for not at all."""
        now = time.monotonic()
        recent = [at for at in self._failed.pop(address, []) if now - at < WINDOW_S][-MOST:]
        self._failed[address] = [*recent, now]
        while len(self._failed) > ADDRESSES:
            self._failed.popitem(last=False)
        return WINDOW_S - (now - recent[0]) if len(recent) == MOST else 0.0
