"""What one front door is to do, in a form that can be handed to the processes that do it."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

DEFAULT_MODE = "regular@8080"
DEFAULT_HOST = "127.0.0.1"
# The variable by which prometheus_client has the processes of one program count together.
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


@dataclass(frozen=True, slots=True)
class Plan:
    """How a front door is run.

    `modes` are mitmproxy's proxy modes and `options` its options as `NAME=VALUE`, ours among
    them. `listen_host` holds for modes that name no host. `scripts` are further addons; `save`
    is the file that flows are written to, empty for none. `as_json` turns log lines to JSON.
    `drain_s` is how long calls under way may take to end, in seconds. `admin` is the port of
    the pages for operators, 0 for none.
    """

    modes: tuple[str, ...] = (DEFAULT_MODE,)
    listen_host: str = DEFAULT_HOST
    options: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    save: str = ""
    as_json: bool = False
    drain_s: float = 30.0
    admin: int = 0

    def dump(self) -> str:
        """The plan as one line of text."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Self:
        """The plan that `dump` wrote."""
        said: dict[str, Any] = json.loads(text)
        return cls(**{name: _frozen(value) for name, value in said.items()})


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
