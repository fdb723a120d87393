"""An open WebSocket: relayed message by message, within limits, and scrubbed for the agent."""

import time
from collections.abc import Callable

from wsproto.frame_protocol import CloseReason, Frame, FrameProtocol, Opcode, ParseFailed

from addons.door import Account
from broker import Mask
from broker.detector import Detector
from interlock.settings import Limits


class Breach(Exception):
    """Why a conversation must end, with the close code that both sides get (RFC 6455, 7.4)."""

    def __init__(self, code: CloseReason, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


class Conversation:
    """Both directions of one WebSocket (RFC 6455), without extensions.

    Only whole messages pass, each as one frame, which RFC 6455, 5.4 allows; so a secret that is
    cut over frames is one piece here. Of a secret that is cut over messages the part in the
    message that completes it is masked.
    """

    def __init__(
        self,
        account: Account,
        mask: Mask,
        limits: Limits,
        watch: "Watch | None" = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._account = account
        self._mask = mask
        self._limits = limits
        self._agent = _Side(FrameProtocol(client=False, extensions=[]), limits.message_bytes, watch)
        self._server = _Side(FrameProtocol(client=True, extensions=[]), limits.message_bytes)
        self._pace = Pace(limits.message_rate, clock)
        # The end of what the server said, as it said it: in messages, and in control frames, which
        # may stand between two of them.
        self._before = {False: b"", True: b""}
        self.open = False
        self.over = False

    def from_agent(self, data: bytes) -> bytes:
        """What the server may hear of what the agent sends; raises Breach."""
        require_room(self._account, len(data), self._limits)
        said = bytearray()
        for opcode, content in self._agent.hear(data):
            self._pace.step()
            self._account.messages_up += opcode in _DATA
            said += _told(self._server.protocol, opcode, content)
        return bytes(said)

    def from_server(self, data: bytes) -> bytes:
        """What the agent may hear of what the server sends, scrubbed; raises Breach."""
        self._account.bytes_down += len(data)
        said = bytearray()
        for opcode, content in self._server.hear(data):
            self._account.messages_down += opcode in _DATA
            shown = self._clean(content, aside=opcode.iscontrol())
            said += _told(self._agent.protocol, opcode, shown)
        return bytes(said)

    def farewell(self, breach: Breach) -> bytes:
        """End it: what the server would send to close, for the agent to hear."""
        self.over = True
        self._account.ended = f"Interlock: {breach.why}"
        return bytes(self._agent.protocol.close(breach.code, self._account.ended))

    def _clean(self, content: bytes, *, aside: bool) -> bytes:
        before = self._before[aside]
        whole = before + content
        scrubber = self._mask.scrubber()
        shown = (scrubber.feed(whole) + scrubber.flush())[len(before) :]
        self._before[aside] = whole[max(0, len(whole) - self._mask.longest + 1) :]
        if shown != content:
            self._account.scrubbed += 1
            self._account.spellings |= scrubber.spellings
        return shown


_DATA = (Opcode.TEXT, Opcode.BINARY)


class _Side:
    """Puts the frames of one peer together."""

    def __init__(self, protocol: FrameProtocol, most: int, watch: "Watch | None" = None) -> None:
        self.protocol = protocol
        self._watch = watch
        self._most = most
        self._said = bytearray()

    def hear(self, data: bytes) -> list[tuple[Opcode, bytes]]:
        """Answer what is complete: messages, and control frames between them; raises Breach."""
        self.protocol.receive_bytes(data)
        try:
            return [
                (frame.opcode, content)
                for frame in self.protocol.received_frames()
                if (content := self._content(frame)) is not None
            ]
        except ParseFailed as e:
            raise Breach(e.code, "these bytes are no WebSocket message") from None

    def _content(self, frame: Frame) -> bytes | None:
        """The content of what ends with this frame; None where more has to come."""
        match frame.payload:
            case (int(code), str(reason)):  # of a Close frame
                payload = code.to_bytes(2) + reason.encode()
            case str(text):
                payload = text.encode()
            case data:
                payload = bytes(data)
        if self._watch:
            self._watch.look(payload, aside=frame.opcode.iscontrol())
        if frame.opcode.iscontrol():
            return payload
        self._said += payload
        if len(self._said) > self._most:
            raise Breach(
                CloseReason.MESSAGE_TOO_BIG,
                f"a message has more than {self._most} bytes (limit interlock_message_bytes)",
            )
        if not frame.message_finished:
            return None
        content, self._said = bytes(self._said), bytearray()
        return content


class Watch:
    """Looks for planted keys in what an agent says, over the borders of its pieces."""

    def __init__(self, detector: Callable[[], Detector], alarm: Callable[[str], None]) -> None:
        """`detector` answers that of now; `alarm` is told the name of a key that was found."""
        self._detector = detector
        self._alarm = alarm
        self._before = {False: b"", True: b""}

    def look(self, data: bytes, *, aside: bool = False) -> None:
        """Take the next piece, `aside` for what may stand between two of a message; raises Breach.

        Whoever sent it is not told that the key was planted.
        """
        detector = self._detector()
        seen = self._before[aside] + data
        if found := detector.find([seen]):
            self._alarm(found)
            raise Breach(CloseReason.POLICY_VIOLATION, "this message may not be sent")
        self._before[aside] = seen[max(0, len(seen) - detector.overlap) :]


class Pace:
    """So many steps a second, and as many at once (a token bucket); `what` names step and limit."""

    def __init__(
        self,
        most: int,
        clock: Callable[[], float] = time.monotonic,
        what: str = "messages a second (limit interlock_message_rate)",
    ) -> None:
        self._most = most
        self._clock = clock
        self._what = what
        self._left = float(most)
        self._at = clock()

    def step(self) -> None:
        """Take one; raises Breach when there is none left."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._most)
        self._at = now
        if self._left < 1:
            raise Breach(
                CloseReason.POLICY_VIOLATION,
                f"more than {self._most} {self._what}",
            )
        self._left -= 1


def require_room(account: Account, more: int, limits: Limits) -> None:
    """Count what an agent sends over one call; raises Breach when it is too much in all."""
    account.bytes_up += more
    if account.bytes_up > limits.stream_bytes:
        raise Breach(
            CloseReason.MESSAGE_TOO_BIG,
            f"more than {limits.stream_bytes} bytes in all (limit interlock_stream_bytes)",
        )


def _told(protocol: FrameProtocol, opcode: Opcode, content: bytes) -> bytes:
    """A message or control frame for the peer that `protocol` speaks to."""
    match opcode:
        case Opcode.TEXT:
            return bytes(protocol.send_data(content.decode(errors="replace")))
        case Opcode.BINARY:
            return bytes(protocol.send_data(content))
        case Opcode.PING:
            return bytes(protocol.ping(content))
        case Opcode.PONG:
            return bytes(protocol.pong(content))
    code, reason = int.from_bytes(content[:2]), content[2:].decode(errors="replace")
    return bytes(protocol.close(_reason(code), reason))


def _reason(code: int) -> CloseReason | int:
    """wsproto tells codes that must not be sent by their type."""
    try:
        return CloseReason(code)
    except ValueError:
        return code
