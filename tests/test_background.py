"""What runs beside the calls goes on after a failure, and ends when it is told to."""

import asyncio

import pytest

from addons import background as module
from addons.background import Background


class Failing:
    """Fails twice, then runs on."""

    def __init__(self) -> None:
        self.begun = 0
        self.well = asyncio.Event()
        self.ended = asyncio.Event()

    async def run(self) -> None:
        """The work."""
        self.begun += 1
        if self.begun < 3:
            raise RuntimeError(f"failure {self.begun}")
        self.well.set()
        try:
            await asyncio.sleep(60)
        finally:
            self.ended.set()


def test_work_that_fails_begins_anew(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each failure is logged with what it was; `stop` ends the work for good."""
    monkeypatch.setattr(module, "AGAIN_S", 0.01)

    async def main() -> None:
        work, background = Failing(), Background()
        background.begin(work.run)
        async with asyncio.timeout(5):
            await work.well.wait()
            background.stop()
            await work.ended.wait()
        await asyncio.sleep(0.05)
        assert work.begun == 3

    asyncio.run(main())
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == [
        "failure 1",
        "failure 2",
    ]


def test_work_that_is_done_is_not_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what never began may be stopped."""
    monkeypatch.setattr(module, "AGAIN_S", 0.01)
    Background().stop()
    begun = 0

    async def once() -> None:
        nonlocal begun
        begun += 1

    async def main() -> None:
        Background().begin(once)
        await asyncio.sleep(0.05)

    asyncio.run(main())
    assert begun == 1
