"""A worker that says nothing at its start is not waited for."""

import asyncio

import pytest

from addons import supervisor
from addons.complaint import BAD_INPUT
from addons.plan import Plan
from addons.supervisor import Supervisor
from interlock.demo.ports import free_ports


def test_a_worker_that_hangs_at_its_start_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one, so that the front door ends, with the code of a bad start."""
    monkeypatch.setattr(supervisor, "START_S", 0.3)
    monkeypatch.setattr(supervisor, "command", lambda *_: ("sleep", "60"))
    (port,) = free_ports(1)

    async def main() -> int:
        async with asyncio.timeout(20):
            return await Supervisor(Plan(modes=(f"regular@{port}",)), 1).run()

    assert asyncio.run(main()) == BAD_INPUT
