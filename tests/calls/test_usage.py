"""What a model's answer used is read as it streams by, and nothing it writes can pass for it."""

import json
import sys
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.calls import Catalogue
from interlock.calls.usage import MOST_BYTES, Usage, UsageReader, _prices


def read(service: str, body: bytes, size: int = 2**16, model: str = "asked-for") -> Usage | None:
    """Read a body in chunks of one size."""
    reader = UsageReader(service, model)
    for start in range(0, len(body), size):
        reader.feed(body[start : start + size])
    return reader.usage()


def plain(value: Any) -> bytes:
    """A body as the APIs write it."""
    return json.dumps(value, indent=2).encode()


def sse(*events: Any, end: str = "\n") -> bytes:
    """A stream of events; those that have a type are named after it."""
    lines = []
    for event in events:
        if "type" in event:
            lines.append(f"event: {event['type']}")
        lines += [f"data: {json.dumps(event)}", ""]
    return end.join([*lines, ""]).encode()


CHAT_USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 200,
    "total_tokens": 1200,
    "prompt_tokens_details": {"cached_tokens": 400, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
RESPONSE_USAGE = {
    "input_tokens": 1000,
    "input_tokens_details": {"cached_tokens": 400},
    "output_tokens": 200,
    "output_tokens_details": {"reasoning_tokens": 64},
    "total_tokens": 1200,
}
MESSAGE_USAGE = {
    "input_tokens": 100,
    "cache_creation_input_tokens": 300,
    "cache_read_input_tokens": 600,
    "output_tokens": 200,
    "service_tier": "standard",
}
GPT = "gpt-4o-2024-11-20"
CLAUDE = "claude-sonnet-4-5-20250929"
GPT_USAGE = Usage(GPT, 1000, 200, pytest.approx((600 * 2.5 + 400 * 1.25 + 200 * 10) / 1e6))
CLAUDE_USAGE = Usage(
    CLAUDE, 1000, 200, pytest.approx((100 * 3 + 300 * 3.75 + 600 * 0.3 + 200 * 15) / 1e6)
)

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": GPT,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}}],
    "usage": CHAT_USAGE,
    "system_fingerprint": "fp_1",
}
RESPONSE = {"id": "resp_1", "model": GPT, "output": [], "usage": RESPONSE_USAGE, "metadata": {}}
MESSAGE = {"id": "msg_1", "type": "message", "model": CLAUDE, "content": [], "usage": MESSAGE_USAGE}
CHUNK = {"object": "chat.completion.chunk", "model": GPT}
CHAT_STREAM = sse(
    CHUNK | {"choices": [{"delta": {"content": "hel"}}], "usage": None},
    CHUNK | {"choices": [{"delta": {"content": '{"usage": {"prompt_tokens": 9}}'}}], "usage": None},
    CHUNK | {"choices": [], "usage": CHAT_USAGE},
)
RESPONSE_STREAM = sse(
    {"type": "response.created", "response": RESPONSE | {"usage": None}},
    {"type": "response.output_text.delta", "delta": "hello"},
    {"type": "response.completed", "response": RESPONSE},
)
MESSAGE_STREAM = sse(
    {"type": "message_start", "message": MESSAGE | {"usage": MESSAGE_USAGE | {"output_tokens": 1}}},
    {"type": "ping"},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": '"usage"'}},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 200},
    },
    {"type": "message_stop"},
)
ANSWERS = [
    pytest.param("openai", plain(CHAT), GPT_USAGE, id="a chat completion"),
    pytest.param("openai", plain(RESPONSE), GPT_USAGE, id="a response"),
    pytest.param("openai", CHAT_STREAM + b"data: [DONE]\n\n", GPT_USAGE, id="a streamed chat"),
    pytest.param("openai", RESPONSE_STREAM, GPT_USAGE, id="a streamed response"),
    pytest.param("anthropic", plain(MESSAGE), CLAUDE_USAGE, id="a message"),
    pytest.param("anthropic", MESSAGE_STREAM, CLAUDE_USAGE, id="a streamed message"),
    pytest.param(
        "anthropic", MESSAGE_STREAM.replace(b"\n", b"\r\n"), CLAUDE_USAGE, id="with CR and LF"
    ),
    pytest.param("anthropic", MESSAGE_STREAM.rstrip(), CLAUDE_USAGE, id="without a last line end"),
    pytest.param("openai", b"\xef\xbb\xbf\n" + plain(CHAT), GPT_USAGE, id="after a mark and space"),
    pytest.param(
        "openai",
        plain({"data": [], "model": "text-embedding-3-small", "usage": {"prompt_tokens": 1000}}),
        Usage("text-embedding-3-small", 1000, 0, pytest.approx(0.00002)),
        id="embeddings",
    ),
]


@pytest.mark.parametrize("size", [1, 7, 2**16])
@pytest.mark.parametrize(("service", "body", "expected"), ANSWERS)
def test_an_answer_says_what_it_used(service: str, body: bytes, expected: Usage, size: int) -> None:
    """However the bytes are cut, the counts are those of the provider, cache included."""
    assert read(service, body, size) == expected


def test_a_stream_that_broke_off_used_what_it_said() -> None:
    """Anthropic says at the start what went in; that counts although the end never came."""
    usage = read("anthropic", MESSAGE_STREAM[: MESSAGE_STREAM.index(b"event: ping")])
    assert usage is not None
    assert (usage.tokens_in, usage.tokens_out, usage.estimated) == (1000, 1, False)


UNSAID_CHAT = sse(*[CHUNK | {"choices": [{"delta": {"content": "a longer word"}}]}] * 10)
TOOL_CALL = {"tool_calls": [{"type": "function", "function": {"arguments": "x" * 400}}]}
BROKEN_MESSAGE = MESSAGE_STREAM[: MESSAGE_STREAM.index(b"event: message_delta")]
BROKEN_RESPONSE = RESPONSE_STREAM[: RESPONSE_STREAM.index(b"event: response.completed")]
ESTIMATED = [
    pytest.param("openai", UNSAID_CHAT, 100, 33, id="four characters are a token"),
    pytest.param(
        "openai", UNSAID_CHAT.replace(b"a longer word", b"a"), 100, 10, id="or a delta is one"
    ),
    pytest.param("openai", UNSAID_CHAT[:-90], 100, 30, id="broken off in the middle of an event"),
    pytest.param("openai", sse({"choices": [{"text": "x" * 40}]}), 100, 10, id="a completion"),
    pytest.param(
        "openai", sse({"choices": [{"delta": TOOL_CALL}]}), 100, 100, id="the arguments of a tool"
    ),
    pytest.param("openai", BROKEN_RESPONSE, 100, 2, id="a response that broke off"),
    pytest.param("anthropic", BROKEN_MESSAGE, 1000, 1 + 2, id="a message that broke off"),
    pytest.param("openai", sse(CHUNK | {"choices": []}), 100, 0, id="nothing was written yet"),
    pytest.param(
        "openai",
        UNSAID_CHAT + sse({"usage": {"prompt_tokens": -1, "completion_tokens": True}}),
        100,
        33,
        id="a usage that is none",
    ),
    pytest.param(
        "openai",
        UNSAID_CHAT + sse({"usage": {"prompt_tokens": 7, "completion_tokens": 0}}),
        7,
        33,
        id="a usage of nothing for something",
    ),
    pytest.param(
        "openai",
        UNSAID_CHAT + b'data: {"usage": {"prompt_tokens": NaN, "completion_tokens": 1e999}}\n',
        100,
        33,
        id="a usage that is no number",
    ),
]


@pytest.mark.parametrize("size", [1, 7, 2**16])
@pytest.mark.parametrize(("service", "body", "tokens_in", "tokens_out"), ESTIMATED)
def test_what_a_stream_does_not_say_is_estimated(
    service: str, body: bytes, tokens_in: int, tokens_out: int, size: int
) -> None:
    """From what it wrote and the size of the request, so that leaving usage out dodges nothing."""
    reader = UsageReader(service, "gpt-4o", 400)
    for start in range(0, len(body), size):
        reader.feed(body[start : start + size])
    usage = reader.usage()
    assert usage is not None
    assert (usage.tokens_in, usage.tokens_out, usage.estimated) == (tokens_in, tokens_out, True)
    assert usage.cost_usd is None or usage.cost_usd > 0
    assert reader.usage() == usage


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(sse({"error": {"message": "no"}}), id="an error of OpenAI"),
        pytest.param(sse({"type": "error", "error": {"type": "overloaded"}}), id="of Anthropic"),
        pytest.param(b"<html>\n<body>Bad gateway</body>\n", id="a page of a proxy"),
        pytest.param(b'{"data": [{"id": "gpt-4o"}]}', id="a list of models"),
    ],
)
def test_what_is_no_answer_of_a_model_is_not_estimated(body: bytes) -> None:
    """Nothing was begun, so nothing is charged."""
    reader = UsageReader("openai", "gpt-4o", 400)
    reader.feed(body)
    assert reader.usage() is None


@pytest.mark.parametrize(
    ("model", "cost"),
    [
        pytest.param("gpt-4o", 0.0045, id="by name"),
        pytest.param("gpt-4o-2024-08-06", 0.0045, id="a dated version"),
        pytest.param("gpt-4o-2024-05-13", 0.008, id="a dated version with its own price"),
        pytest.param("gpt-4o-mini", 0.00027, id="not the name that it begins with"),
        pytest.param("gpt-4o-audio-preview", None, id="nor a variant of it"),
        pytest.param("claude-sonnet-4-5", None, id="the model of another provider"),
        pytest.param("llama-3", None, id="an unknown model"),
    ],
)
def test_a_model_costs_what_is_known_of_it(model: str, cost: float | None) -> None:
    """A wrong price would be worse than none."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 200}
    answer = read("openai", plain({"model": model, "usage": usage}))
    assert answer == Usage(model, 1000, 200, cost and pytest.approx(cost))


def test_prices_are_well_formed() -> None:
    """Each service of the file is one of the catalogue's, each price has its parts."""
    assert set(_prices()) <= {provider.service for provider in Catalogue.shipped()}
    for models in _prices().values():
        for price in models.values():
            assert {"in", "out"} <= set(price) <= {"in", "out", "cached", "written"}
            assert all(amount >= 0 for amount in price.values())


ODD = [
    pytest.param("openai", b"", id="an empty body"),
    pytest.param("openai", b" \n ", id="white space"),
    pytest.param("openai", b"{", id="half an object"),
    pytest.param("openai", b'{"usage":' * 100_000, id="an abyss"),
    pytest.param("openai", b"data: " + b'["usage",' * 7_000 + b"\n", id="an abyss in a line"),
    pytest.param("openai", b'{"usage": [1]}', id="a list for usage"),
    pytest.param("openai", b'data: ["usage"]\n', id="a list for an event"),
    pytest.param("openai", b'{"usage": {"prompt_tokens": -5}}', id="a negative count"),
    pytest.param("openai", b'{"usage": {"prompt_tokens": true}}', id="a truth for a count"),
    pytest.param("openai", b'{"usage": {"prompt_tokens": 1e3}}', id="a fraction for a count"),
    pytest.param("openai", b'{"usage": {"prompt_tokens": %d}}' % 2**53, id="beyond all counting"),
    pytest.param("openai", b'{"usage": {"prompt_tokens": ' + b"9" * 5000, id="endless digits"),
    pytest.param("openai", b'\x1f\x8b\x08"usage"\xff\n\xff', id="bytes of another coding"),
]


def test_an_api_without_prices_is_counted_without_a_cost() -> None:
    """Many speak OpenAI's language; a call that names no model is not looked at."""
    assert read("nobody", plain(CHAT)) == Usage(GPT, 1000, 200, None)
    assert read("nobody", plain(CHAT), model="") is None


@pytest.mark.parametrize(("service", "body"), ODD)
def test_what_cannot_be_read_used_nothing_known(service: str, body: bytes) -> None:
    """Odd bytes are no error and no count."""
    assert read(service, body) is None


@given(chunks=st.lists(st.sampled_from(MESSAGE_STREAM.split(b'"')) | st.binary(max_size=40)))
def test_nothing_raises(chunks: list[bytes]) -> None:
    """Whatever comes, in whatever pieces."""
    reader = UsageReader("anthropic", "m")
    for chunk in chunks:
        reader.feed(chunk)
    reader.usage()


def test_a_strange_model_name_is_not_taken_over() -> None:
    """What the upstream calls the model goes into the ledger only when it is a plain name."""
    for name in ("a\nb", "\ud800", "x" * 200, 7, None):
        answer = read("openai", plain({"model": name, "usage": {"prompt_tokens": 1}}))
        assert answer == Usage("asked-for", 1, 0, None)


VECTORS = [{"object": "embedding", "embedding": [0.0123456789] * 1536}] * 64
IMAGE = {"type": "image_generation_call", "result": "iVBORw0K" * 200_000}
RESPONSE_WITH_IMAGE = {"output": [IMAGE], "usage": RESPONSE_USAGE, "metadata": {}}
CALL = {"type": "tool_use", "input": {"usage": {"input_tokens": 1, "output_tokens": 1}}}
LONG_TEXT = 'so I wrote "usage": {"input_tokens": 1}} ' * 40_000
LONG = [
    pytest.param("openai", plain(CHAT | {"choices": VECTORS, "usage": None}), None, id="no usage"),
    pytest.param("openai", plain({"data": VECTORS} | CHAT), GPT_USAGE, id="many embeddings"),
    pytest.param("openai", plain(CHAT | {"system_fingerprint": LONG_TEXT}), None, id="text last"),
    pytest.param(
        "openai",
        sse({"type": "response.completed", "response": RESPONSE_WITH_IMAGE}),
        GPT_USAGE,
        id="a streamed image",
    ),
    pytest.param(
        "anthropic",
        plain({"content": [{"type": "text", "text": LONG_TEXT}], "usage": MESSAGE_USAGE}),
        CLAUDE_USAGE,
        id="text that speaks of usage",
    ),
    pytest.param(
        "anthropic",
        plain({"usage": MESSAGE_USAGE, "content": [{"type": "text", "text": LONG_TEXT}, CALL]}),
        None,
        id="a tool call that looks like usage",
    ),
]


@pytest.mark.parametrize("size", [1000, 2**16, 2**24])
@pytest.mark.parametrize(("service", "body", "expected"), LONG)
def test_of_a_long_answer_the_end_is_enough(
    service: str, body: bytes, expected: Usage | None, size: int
) -> None:
    """`usage` follows the content; what only looks like it is not taken for it."""
    assert len(body) > MOST_BYTES
    assert read(service, body, size, GPT if service == "openai" else CLAUDE) == expected


@pytest.mark.parametrize("start", [b"{", b"data: ", b"data: x\n" * 9])
def test_an_endless_answer_takes_no_memory(start: bytes) -> None:
    """What is kept stays small however much comes, in one line or in many."""
    reader = UsageReader("openai", "m")
    tracemalloc.start()
    try:
        for _ in range(400):
            reader.feed(start + b"a" * 2**16)
        assert tracemalloc.get_traced_memory()[1] < 3 * MOST_BYTES
    finally:
        tracemalloc.stop()


def test_an_event_takes_few_steps() -> None:
    """Streams are the most common answers: an event is parsed once, whoever wants what of it."""
    body = UNSAID_CHAT + sse({"choices": [{"delta": TOOL_CALL}]}, CHUNK | {"usage": CHAT_USAGE})
    called: list[str] = []
    reader = UsageReader("openai", "gpt-4o", 400)
    sys.setprofile(lambda frame, kind, _: called.append(frame.f_code.co_name * (kind == "call")))
    try:
        reader.feed(body)
    finally:
        sys.setprofile(None)
    events = body.count(b"data: {")
    assert called.count("raw_decode") == events
    assert len([*filter(None, called)]) < 20 * events


@pytest.mark.parametrize("start", [b"{", b"data: "])
def test_an_answer_in_single_bytes_takes_no_longer_at_its_end(start: bytes) -> None:
    """The work is linear: the last of many small chunks costs what the first did."""
    reader = UsageReader("openai", "m")
    reader.feed(start)
    reader.feed(b"a" * (MOST_BYTES - 100_000))
    began = time.perf_counter()
    for _ in range(300_000):
        reader.feed(b"a")
    assert time.perf_counter() - began < 5
