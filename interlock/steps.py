"""When each step of one call was over, for its outcome in the ledger."""

import time


class Steps:
    """A clock that starts with the call; `micros` says when each step was over, since then."""

    def __init__(self) -> None:
        self._began = time.perf_counter_ns()
        self.micros: dict[str, int] = {}

    def over(self, step: str) -> None:
        """Note that a step is over; one that is repeated counts to its last end."""
        self.micros[step] = (time.perf_counter_ns() - self._began) // 1000
