"""An addon beside ours under which deciding raises."""

from typing import Any

from mitmproxy import ctx


async def _broken(*_: Any) -> None:
    raise ZeroDivisionError("sabotage")


def running() -> None:
    """Reach into the gate and break the one use case."""
    gate = ctx.master.addons.get("gate")
    gate._door.governor.judge = _broken
