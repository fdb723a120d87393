"""A layer goes on, and waits, as it would with mitmproxy's own steps."""

from collections.abc import Callable
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.test import taddons, tflow

from addons import pausing

# Where a test begins, mitmproxy's is in its place.
theirs: Callable[[Any, events.Event], Any] = layer.Layer.handle_event

# What each event has a layer ask for: whether it waits for that.
SCRIPTS = st.lists(st.lists(st.booleans(), max_size=3), min_size=1, max_size=5)
# An event, or the end of what was asked for so many commands ago; each while another is on its way.
STEPS = st.lists(
    st.tuples(st.one_of(st.none(), st.integers(0, 2)), st.booleans()), min_size=2, max_size=16
)


class Asking(layer.Layer):
    """A layer that notes what it hears and is answered."""

    def __init__(self, context: Context, scripts: list[list[bool]]) -> None:
        super().__init__(context)
        self.said: list[Any] = []
        self._scripts, self._heard = scripts, 0

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        number, self._heard = self._heard, self._heard + 1
        self.said.append(f"{type(event).__name__} {number}")
        for waits in self._scripts[number % len(self._scripts)]:
            command: Any = commands.OpenConnection(tflow.tserver_conn()) if waits else _plain()
            self.said.append((yield command))


def _plain() -> commands.Command:
    return commands.Log("")


def _told(handle: Any, asking: Asking, steps: list[tuple[int | None, bool]]) -> list[Any]:
    """What a layer says on all of this, and to what it is left at the end."""
    told: list[Any] = []
    asked: list[Any] = []
    left = list(steps)

    def take(event: events.Event) -> None:
        for command in handle(asking, event):
            told.append((type(command).__name__, command.blocking is asking))
            if command.blocking:
                asked.append(command)
            while left and left[0][1]:
                step()

    def step() -> None:
        which, _ = left.pop(0)
        if which is None:
            take(events.Start())
        elif which < len(asked):
            take(events.OpenConnectionCompleted(asked.pop(which), f"reply {len(told)}"))

    while left:
        step()
    kept = [type(one).__name__ for one in asking._paused_event_queue]
    return [*told, *asking.said, kept, asking._paused is None]


@given(SCRIPTS, STEPS)
@example([[True], [False]], [(None, False), (None, False), (None, False), (0, False), (None, True)])
def test_a_layer_goes_on_as_with_mitmproxy(
    scripts: list[list[bool]], steps: list[tuple[int | None, bool]]
) -> None:
    """Whatever comes while it waits, and whenever what it waits for is there."""
    with taddons.context() as known:
        made = [Asking(Context(tflow.tclient_conn(), known.options), scripts) for _ in range(2)]
    assert _told(pausing.handle_event, made[0], steps) == _told(theirs, made[1], steps)
