"""The values that were in use here, so that answers can be scrubbed of them after a rotation."""

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

from broker.scrubber import Mask
from broker.secret import Secret

KEPT_S = 900.0  # calls under way, and caches of an upstream, may bring an old value back
MOST = 64


@dataclass(slots=True)
class _Trace:
    secret: Secret
    mask: Mask
    ends: float = math.inf


@dataclass(frozen=True, slots=True)
class _Together:
    """The mask of all traces of a place, and when the first of them ends."""

    mask: Mask
    ends: float


class Traces:
    """Remember the present value of each source for good, and the ones before for a while."""

    def __init__(self) -> None:
        self._places: dict[Hashable, dict[Hashable, list[_Trace]]] = {}
        self._masks: dict[Hashable, _Together] = {}

    def note(
        self,
        place: Hashable,
        source: Hashable,
        secret: Secret,
        reveal: Callable[[Secret], Iterable[bytes]],
        now: float,
    ) -> None:
        """Take `secret` for the present value of `source` at `place`.

        Raises ValueError when there are more values than answers can be scrubbed of.
        """
        traces = self._places.setdefault(place, {}).setdefault(source, [])
        if traces and traces[-1].secret == secret:
            return
        traces[:] = [t for t in traces if t.ends > now and t.secret != secret]
        if len(traces) >= MOST:
            raise ValueError(f"it had {MOST} values within {KEPT_S / 60:g} minutes")
        for trace in traces:
            trace.ends = min(trace.ends, now + KEPT_S)
        traces.append(_Trace(secret, Mask(reveal(secret))))
        self._masks.pop(place, None)

    def at(self, place: Hashable, now: float) -> Mask:
        """Return what answers of a place have to be scrubbed of."""
        known = self._masks.get(place)
        if known and now < known.ends:
            return known.mask
        sources = self._places.get(place, {}).values()
        alive = [trace for traces in sources for trace in traces if trace.ends > now]
        mask = Mask.all(trace.mask for trace in alive)
        if sources:
            ends = min((trace.ends for trace in alive), default=math.inf)
            self._masks[place] = _Together(mask, ends)
        return mask
