"""The two chat APIs, plain and streaming, in just enough words to satisfy the providers' SDKs."""

from collections.abc import Iterator
from dataclasses import dataclass

from interlock.demo.exchange import Answer, Json, event, parse_object

CREATED = 1_700_000_000  # every object's birthday, in Unix seconds: answers are deterministic


@dataclass(frozen=True, slots=True)
class Prompt:
    """What both chat APIs ask: the model, the user's last words and how to answer."""

    model: str
    said: str
    stream: bool
    include_usage: bool

    @property
    def words(self) -> list[str]:
        return ["You ", "said ", f"{len(self.said)} ", "characters."]


def parse_prompt(body: bytes) -> Prompt:
    """Read a chat request of either provider; raises ValueError when it is not one."""
    payload = parse_object(body)
    match payload:
        case {"model": str(model), "messages": [*messages]}:
            turns = [turn for turn in messages if isinstance(turn, dict)]
            said = [_text(turn.get("content")) for turn in turns if turn.get("role") == "user"]
            options = payload.get("stream_options")
            usage = isinstance(options, dict) and options.get("include_usage") is True
            return Prompt(model, said[-1] if said else "", payload.get("stream") is True, usage)
    raise ValueError("model and messages are required")


def _text(content: object) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content)


def chat_completion(prompt: Prompt) -> Answer:
    asked, said = len(prompt.said), len(prompt.words)
    usage = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
    head = {"id": "chatcmpl-demo", "created": CREATED, "model": prompt.model}
    if prompt.stream:
        chunk = {**head, "object": "chat.completion.chunk"}
        return Answer.parts(_chat_events(prompt, chunk, usage))
    message = {"role": "assistant", "content": "".join(prompt.words), "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return Answer.json({**head, "object": "chat.completion", "choices": [choice], "usage": usage})


def _chat_events(prompt: Prompt, chunk: Json, usage: Json) -> Iterator[bytes]:
    deltas = [{"role": "assistant", "content": ""}, *({"content": word} for word in prompt.words)]
    for delta in [*deltas, {}]:
        choice = {"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}
        yield event({**chunk, "choices": [choice]})
    if prompt.include_usage:
        yield event({**chunk, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def message(prompt: Prompt) -> Answer:
    head = {"id": "msg_demo", "type": "message", "role": "assistant", "model": prompt.model}
    if prompt.stream:
        return Answer.parts(event(part, part["type"]) for part in _message_events(prompt, head))
    usage = {"input_tokens": len(prompt.said), "output_tokens": len(prompt.words)}
    content = [{"type": "text", "text": "".join(prompt.words)}]
    stopped = {"stop_reason": "end_turn", "stop_sequence": None}
    return Answer.json({**head, **stopped, "content": content, "usage": usage})


def _message_events(prompt: Prompt, head: Json) -> Iterator[Json]:
    """Follow https://docs.anthropic.com/en/docs/build-with-claude/streaming, event by event."""
    usage = {"input_tokens": len(prompt.said), "output_tokens": 1}
    started = {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    yield {"type": "message_start", "message": started}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    yield {"type": "ping"}
    for word in prompt.words:
        delta = {"type": "text_delta", "text": word}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    stopped = {"stop_reason": "end_turn", "stop_sequence": None}
    total = {"output_tokens": len(prompt.words)}
    yield {"type": "message_delta", "delta": stopped, "usage": total}
    yield {"type": "message_stop"}
