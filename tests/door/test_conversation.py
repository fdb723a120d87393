"""What a peer sends is understood however it is cut, and ends where a limit is."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import CloseReason, FrameProtocol, Opcode

from addons.conversation import Breach, Conversation, Pace, Watch
from addons.door import Account
from addons.rpc import Upload
from broker import Mask, Secret
from broker.detector import Detector
from interlock.settings import Limits
from interlock.steps import Steps

KEY = b"sk-live-0123456789abcdef"


def conversation(**limits: int) -> tuple[Conversation, Account]:
    """A conversation that knows one secret, and its account."""
    account = Account(None, "client", Steps())  # type: ignore[arg-type]
    return Conversation(account, Mask([KEY]), Limits(**limits), clock=lambda: 0.0), account


def heard(data: bytes) -> list[bytes]:
    """The messages in what an agent gets."""
    agent = FrameProtocol(client=True, extensions=[])
    agent.receive_bytes(data)
    return [
        frame.payload.encode() if isinstance(frame.payload, str) else bytes(frame.payload)
        for frame in agent.received_frames()
        if not isinstance(frame.payload, tuple)
    ]


@given(st.lists(st.binary(max_size=200)), st.integers(1, 40), st.integers(1, 9))
def test_any_cut_gives_the_same_messages(said: list[bytes], size: int, parts: int) -> None:
    """Frames and the chunks of a connection have nothing to do with each other."""
    server = FrameProtocol(client=False, extensions=[])
    data = bytearray()
    for message in said:
        step = max(1, len(message) // parts)
        cuts = range(0, max(1, len(message)), step)
        for cut in cuts:
            data += server.send_data(message[cut : cut + step], cut == cuts[-1])
    talk, account = conversation()
    shown = b"".join(
        talk.from_server(bytes(data[cut : cut + size])) for cut in range(0, len(data), size)
    )
    assert heard(shown) == said
    assert account.messages_down == len(said)


@pytest.mark.parametrize("cut", range(1, len(KEY)))
def test_a_key_is_masked_however_frames_and_messages_cut_it(cut: int) -> None:
    """Over frames it is gone; over messages the part is that completes it."""
    server = FrameProtocol(client=False, extensions=[])
    frames = bytes(server.send_data(KEY[:cut], False) + server.send_data(KEY[cut:], True))
    assert heard(conversation()[0].from_server(frames)) == [b"*" * len(KEY)]
    messages = bytes(server.send_data(KEY[:cut]) + server.send_data(KEY[cut:]))
    shown = heard(conversation()[0].from_server(messages))
    assert shown == [KEY[:cut], b"*" * (len(KEY) - cut)]


@pytest.mark.parametrize("beside", [Opcode.PING, Opcode.PONG])
@pytest.mark.parametrize("word", [b"", b"between", KEY[:5]])
@pytest.mark.parametrize("cut", [1, 10, len(KEY) - 1])
def test_what_stands_between_two_messages_hides_no_key(
    cut: int, word: bytes, beside: Opcode
) -> None:
    """Neither the key that is cut over messages, nor over control frames, whole or in pieces."""
    server = FrameProtocol(client=False, extensions=[])
    aside = bytes(server._serialize_frame(beside, word))
    rest, half = len(KEY) - cut, (len(KEY) - cut) // 2
    head = bytes(server.send_data(KEY[:cut]))
    whole = head + aside + bytes(server.send_data(KEY[cut:]))
    assert heard(conversation()[0].from_server(whole)) == [KEY[:cut], word, b"*" * rest]
    begun = bytes(server.send_data(KEY[cut : cut + half], False))
    pieces = head + aside + begun + aside + bytes(server.send_data(KEY[cut + half :], True))
    assert heard(conversation()[0].from_server(pieces)) == [KEY[:cut], word, word, b"*" * rest]
    controls = [bytes(server._serialize_frame(beside, part)) for part in (KEY[:cut], KEY[cut:])]
    between = bytes(server.send_data(b"a message")).join(controls)
    shown = heard(conversation()[0].from_server(between))
    assert shown == [KEY[:cut], b"a message", b"*" * rest]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b"\x81\x05hello", CloseReason.PROTOCOL_ERROR, id="without a mask"),
        pytest.param(b"\xc1\x80abcd", CloseReason.PROTOCOL_ERROR, id="a bit of an extension"),
        pytest.param(b"GET / HTTP/1.1\r\n", CloseReason.PROTOCOL_ERROR, id="no WebSocket at all"),
        pytest.param(
            b"\x82\xff" + bytes([0] * 4 + [1] * 8) + b"x" * 1025,
            CloseReason.MESSAGE_TOO_BIG,
            id="the beginning of 16 MiB",
        ),
    ],
)
def test_what_breaks_the_rules_ends_the_conversation(data: bytes, code: CloseReason) -> None:
    """Long before memory ends, and nothing of it passes."""
    talk, account = conversation(message_bytes=1024)
    with pytest.raises(Breach) as breach:
        talk.from_agent(data)
    assert breach.value.code is code
    assert talk.farewell(breach.value)[0] == 0x88
    assert talk.over
    assert account.ended


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([(Opcode.TEXT, KEY, True)], id="a message"),
        pytest.param([(Opcode.PING, KEY, True)], id="a ping"),
        pytest.param([(Opcode.CLOSE, b"\x03\xe8" + KEY, True)], id="the reason of a farewell"),
        pytest.param(
            [(Opcode.TEXT, KEY[:9], True), (Opcode.TEXT, KEY[9:], True)], id="two messages"
        ),
        pytest.param(
            [
                (Opcode.TEXT, KEY[:9], False),
                (Opcode.PING, b"between", True),
                (Opcode.CONTINUATION, KEY[9:], True),
            ],
            id="the pieces around a ping",
        ),
    ],
)
def test_a_planted_key_is_found_wherever_it_stands(
    frames: list[tuple[Opcode, bytes, bool]],
) -> None:
    """The alarm is raised, the conversation ends, and what completes the key does not pass."""
    heard_of: list[str] = []
    detector = Detector({"bait": Secret(KEY)})
    account = Account(None, "client", Steps())  # type: ignore[arg-type]
    watch = Watch(lambda: detector, heard_of.append)
    talk = Conversation(account, Mask(()), Limits(), watch)
    agent = FrameProtocol(client=True, extensions=[])
    said = [bytes(agent._serialize_frame(code, data, fin)) for code, data, fin in frames]
    passed = b"".join(map(talk.from_agent, said[:-1]))
    with pytest.raises(Breach) as breach:
        talk.from_agent(said[-1])
    assert heard_of == ["bait"]
    assert KEY not in passed
    assert "planted" not in breach.value.why


def test_a_message_in_empty_pieces_takes_no_memory() -> None:
    """They count as nothing against the limit, so nothing is kept of them either."""
    agent = FrameProtocol(client=True, extensions=[])
    begun, empty = bytes(agent.send_data(b"", False)), bytes(agent.send_data(b"", False)) * 10_000
    talk, _ = conversation()
    talk.from_agent(begun)
    tracemalloc.start()
    try:
        for _ in range(10):
            talk.from_agent(empty)
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()


def test_a_conversation_has_an_end() -> None:
    """However small its messages are, an agent may say so much in all, over a gRPC call too."""
    talk, account = conversation(stream_bytes=2_000)
    agent = FrameProtocol(client=True, extensions=[])
    talk.from_agent(bytes(agent.send_data(b"x" * 1_900, True)))
    with pytest.raises(Breach, match="interlock_stream_bytes"):
        talk.from_agent(bytes(agent.send_data(b"x" * 100, True)))
    assert account.messages_up == 1

    account = Account(None, "client", Steps())  # type: ignore[arg-type]
    upload = Upload(
        account, Limits(stream_bytes=2_000), Watch(lambda: Detector({}), lambda _: None)
    )
    message = b"\0" + (1_900).to_bytes(4) + b"x" * 1_900
    assert upload.take(message) == message
    with pytest.raises(Breach, match="interlock_stream_bytes"):
        upload.take(message[:100])


def test_a_pace_lets_so_many_pass_a_second() -> None:
    """As many at once, and then as time goes by."""
    now = 0.0
    pace = Pace(10, lambda: now)
    for _ in range(10):
        pace.step()
    with pytest.raises(Breach, match="interlock_message_rate"):
        pace.step()
    now = 0.5
    for _ in range(5):
        pace.step()
    with pytest.raises(Breach):
        pace.step()
