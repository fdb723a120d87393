"""What an agent got back, to the last byte."""

import http.client
import io
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer as the agent received it; `raw` is all of it, headers and body."""

    raw: bytes
    status: int
    headers: http.client.HTTPMessage

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read what the agent's program wrote; raises ValueError when that is no answer."""
        stream = io.BytesIO(raw)
        _, _, status = stream.readline().partition(b" ")
        return cls(raw, int(status[:3]), http.client.parse_headers(stream))

    @property
    def decision_id(self) -> str:
        return self.headers.get("interlock-decision-id", "")

    @property
    def streamed(self) -> bool:
        """True when the answer came as events, and came to its end."""
        return self.headers.get_content_type() == "text/event-stream" and self.raw.endswith(b"\n\n")
