"""Counts calls and measures their steps for Prometheus; no label holds what an agent chose."""

import asyncio
from typing import Any

from mitmproxy import ctx, http
from prometheus_client import Counter, Gauge, Histogram

from addons.background import Background
from addons.door import Door

# From a cache hit to a person who is asked: 0.1 ms to a minute.
SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 60)
LOOK_S = 1.0


class Metrics:
    """Has to hear of a call's end before its account is closed."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._background = Background()
        self._calls = Counter("interlock_calls", "Calls by decision.", ["decision"])
        self._broken = Counter("interlock_broken_calls", "Calls that ended without an answer.")
        self._scrubbed = Counter("interlock_scrubbed", "Forms of secrets masked in answers.")
        self._steps = Histogram(
            "interlock_step_seconds",
            "Time from the end of a request to the end of each step of its call.",
            ["step"],
            buckets=SECONDS,
        )
        self._lag = Histogram(
            "interlock_loop_lag_seconds",
            "How much later than due the event loop came round.",
            buckets=SECONDS,
        )
        self._connections = self._gauge("connections", "Connections of agents that are open.")
        self._under_way = self._gauge("calls_under_way", "Calls that were let through and go on.")
        self._queue = self._gauge("ledger_queue", "Writes that wait for the disk.")

    def running(self) -> None:
        """Begin to look at what only a look can tell."""
        self._background.begin(self._watch)

    def done(self) -> None:
        """Stop looking."""
        self._background.stop()

    def response(self, flow: http.HTTPFlow) -> None:
        """A call has its answer."""
        self._count(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """A call broke off."""
        self._broken.inc()
        self._count(flow)

    def _count(self, flow: http.HTTPFlow) -> None:
        decision = flow.metadata.get("interlock_decision")
        if decision is None:
            return
        self._calls.labels(decision).inc()
        account = self._door.accounts.get(flow.id)
        if account is None:
            return
        self._scrubbed.inc(account.scrubbed)
        for step, micros in account.steps.micros.items():
            self._steps.labels(step).observe(micros / 1e6)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LOOK_S
            await asyncio.sleep(LOOK_S)
            self._lag.observe(max(0.0, loop.time() - due))
            proxy: Any = ctx.master.addons.get("proxyserver")
            self._connections.set(len(proxy.connections))
            self._under_way.set(len(self._door.accounts))
            if governor := self._door.governor:
                self._queue.set(governor.installation.database.waiting)

    @staticmethod
    def _gauge(name: str, text: str) -> Gauge:
        return Gauge(f"interlock_{name}", text, multiprocess_mode="livesum")
