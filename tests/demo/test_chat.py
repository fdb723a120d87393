"""Both chat APIs, spoken to by the SDKs that they have to satisfy."""

import anthropic
import openai
import pytest

from tests.demo.provider import MESSAGES, REPLY


class TestOpenAI:
    def test_chat(self, openai_client: openai.OpenAI) -> None:
        """The sync SDK reads a plain answer."""
        answer = openai_client.chat.completions.create(model="gpt-x", messages=MESSAGES)
        assert (answer.model, answer.choices[0].message.content) == ("gpt-x", REPLY)
        assert answer.usage is not None
        assert answer.usage.total_tokens == 9

    def test_streamed_chat(self, openai_client: openai.OpenAI) -> None:
        """The sync SDK reads chunks, the usage last when it asked for it."""
        chunks = list(
            openai_client.chat.completions.create(
                model="gpt-x",
                messages=MESSAGES,
                stream=True,
                stream_options={"include_usage": True},
            )
        )
        words = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert "".join(words) == REPLY
        assert chunks[-1].usage is not None
        assert chunks[-1].choices == []

    async def test_async_chat(self, async_openai_client: openai.AsyncOpenAI) -> None:
        """The async SDK reads a plain answer."""
        answer = await async_openai_client.chat.completions.create(model="gpt-x", messages=MESSAGES)
        assert answer.choices[0].message.content == REPLY

    async def test_async_streamed_chat(self, async_openai_client: openai.AsyncOpenAI) -> None:
        """The async SDK reads chunks, and no usage unless it asked for it."""
        stream = await async_openai_client.chat.completions.create(
            model="gpt-x", messages=MESSAGES, stream=True
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == REPLY
        assert chunks[-1].choices[0].finish_reason == "stop"

    def test_embeddings_models_and_files(self, openai_client: openai.OpenAI) -> None:
        """The smaller endpoints satisfy the SDK as well."""
        vectors = openai_client.embeddings.create(model="embed-x", input=["four", "eleven"])
        assert [vector.embedding[0] for vector in vectors.data] == [4.0, 6.0]
        assert [model.id for model in openai_client.models.list()] == ["gpt-demo"]
        assert openai_client.files.delete("file-7").id == "file-7"

    def test_a_wrong_key_is_an_authentication_error(self, openai_client: openai.OpenAI) -> None:
        """The SDK recognises the refusal."""
        with pytest.raises(openai.AuthenticationError) as caught:
            openai_client.with_options(api_key="sk-wrong").models.list()
        assert caught.value.code == "invalid_api_key"

    def test_nonsense_is_a_bad_request(self, openai_client: openai.OpenAI) -> None:
        """A body that is no chat request gets a 400 in the shape of OpenAI."""
        with pytest.raises(openai.BadRequestError, match="model and messages are required"):
            openai_client.post("/chat/completions", body={"model": "x"}, cast_to=object)


class TestAnthropic:
    def test_message(self, anthropic_client: anthropic.Anthropic) -> None:
        """The sync SDK reads a plain answer."""
        answer = anthropic_client.messages.create(
            model="claude-x", max_tokens=9, messages=MESSAGES[1:]
        )
        assert answer.model == "claude-x"
        assert answer.content[0].type == "text"
        assert answer.content[0].text == REPLY

    def test_streamed_message(self, anthropic_client: anthropic.Anthropic) -> None:
        """The sync SDK accumulates the whole event sequence."""
        with anthropic_client.messages.stream(
            model="claude-x", max_tokens=9, messages=MESSAGES[1:]
        ) as stream:
            assert "".join(stream.text_stream) == REPLY
        final = stream.get_final_message()
        assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 4)

    async def test_async_message(self, async_anthropic_client: anthropic.AsyncAnthropic) -> None:
        """The async SDK reads a plain answer, to content given in blocks too."""
        answer = await async_anthropic_client.messages.create(
            model="claude-x",
            max_tokens=9,
            messages=[{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
        )
        assert answer.content[0].type == "text"
        assert answer.content[0].text == REPLY

    async def test_async_streamed_message(
        self, async_anthropic_client: anthropic.AsyncAnthropic
    ) -> None:
        """The async SDK reads raw events in their documented order."""
        stream = await async_anthropic_client.messages.create(
            model="claude-x", max_tokens=9, messages=MESSAGES[1:], stream=True
        )
        kinds = [event.type async for event in stream]
        assert kinds[:2] == ["message_start", "content_block_start"]
        assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]

    def test_models(self, anthropic_client: anthropic.Anthropic) -> None:
        """The list of models comes in the shape of Anthropic."""
        assert [model.id for model in anthropic_client.models.list()] == ["claude-demo"]

    def test_a_wrong_key_is_an_authentication_error(
        self, anthropic_client: anthropic.Anthropic
    ) -> None:
        """The SDK recognises the refusal."""
        with pytest.raises(anthropic.AuthenticationError, match="authentication_error"):
            anthropic_client.with_options(api_key="sk-wrong").models.list()
