"""Which tools a model called is read out of its answer, in every shape, streamed or not."""

import json
from typing import Any

import pytest

from interlock.calls.usage import Usage, UsageReader

CHAT_CALL = {"index": 0, "function": {"name": "search", "arguments": '{"q": "secret"}'}}
GEMINI = {
    "candidates": [{"content": {"parts": [{"functionCall": {"name": "search", "args": {}}}]}}],
    "usageMetadata": {
        "promptTokenCount": 10,
        "cachedContentTokenCount": 4,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 2,
    },
    "modelVersion": "gemini-2.5-pro",
}


def reader_of(body: bytes, size: int = 7, service: str = "openai") -> UsageReader:
    """A reader that has read a whole answer in pieces."""
    reader = UsageReader(service, "asked-for")
    for start in range(0, len(body), size):
        reader.feed(body[start : start + size])
    reader.usage()
    return reader


def sse(*events: Any) -> bytes:
    """A stream of events."""
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            {"choices": [{"message": {"tool_calls": [CHAT_CALL]}}]}, id="a chat of OpenAI"
        ),
        pytest.param(
            {"choices": [{"message": {"function_call": {"name": "search"}}}]},
            id="its older form",
        ),
        pytest.param(
            {"output": [{"type": "function_call", "name": "search"}]}, id="a response of OpenAI"
        ),
        pytest.param(
            {"content": [{"type": "tool_use", "name": "search", "input": {}}]}, id="Anthropic"
        ),
        pytest.param(GEMINI, id="Gemini"),
        pytest.param([GEMINI, GEMINI], id="Gemini as a list"),
        pytest.param(
            {"output": {"message": {"content": [{"toolUse": {"name": "search"}}]}}}, id="Bedrock"
        ),
    ],
)
def test_names_of_a_body(body: Any) -> None:
    """The name, once; never what it was called with."""
    assert reader_of(json.dumps(body).encode()).called.names == ("search",)


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(
            sse(
                {"choices": [{"delta": {"tool_calls": [CHAT_CALL]}}]},
                {"choices": [{"delta": {"tool_calls": [{"function": {"arguments": "x"}}]}}]},
            ),
            id="a chat of OpenAI",
        ),
        pytest.param(
            sse(
                {"type": "response.output_item.done", "item": {"type": "web_search_call"}},
                {"response": {"output": [{"type": "function_call", "name": "search"}]}},
            ),
            id="a response of OpenAI",
        ),
        pytest.param(
            sse({"content_block": {"type": "tool_use", "name": "search"}}), id="Anthropic"
        ),
        pytest.param(sse(GEMINI), id="Gemini"),
    ],
)
def test_names_of_a_stream(stream: bytes) -> None:
    """Event by event, whatever the chunks are."""
    assert reader_of(stream).called.names[-1] == "search"


def test_what_a_model_writes_does_not_pass_for_a_call() -> None:
    """Text is no call, and a tool that is only offered neither."""
    said = '{"tool_calls": [{"function": {"name": "erase"}}]}'
    body = {"choices": [{"message": {"content": said}}], "tools": [{"function": {"name": "x"}}]}
    assert reader_of(json.dumps(body).encode()).called.names == ()


def test_a_thousand_calls_are_not_all_kept() -> None:
    """Nor a name that is no name; the row says that there were more."""
    calls = [{"function": {"name": f"t{n}"}} for n in range(1000)]
    called = reader_of(sse({"choices": [{"delta": {"tool_calls": calls}}]})).called
    assert (len(called.names), called.cut) == (32, True)
    odd = [{"function": {"name": "\x1b[31m"}}, {"function": {"name": "x" * 999}}]
    called = reader_of(sse({"choices": [{"delta": {"tool_calls": odd}}]})).called
    assert (called.names, called.cut) == ((), True)


def test_what_gemini_used_is_counted() -> None:
    """Thoughts are output, the cache is input; a stream repeats the counts."""
    for body in (json.dumps(GEMINI).encode(), sse(GEMINI, GEMINI)):
        reader = UsageReader("gemini", "gemini-2.5-pro")
        reader.feed(body)
        assert reader.usage() == Usage("gemini-2.5-pro", 10, 7, None)
