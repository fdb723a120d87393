"""The local upstream, spoken to over real TLS by the SDKs that it has to satisfy."""

import asyncio
import json
import socket
import ssl
import stat
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import anthropic
import httpx
import hypercorn
import hypercorn.asyncio
import openai
import pytest

from interlock.demo.certificates import Certificates
from interlock.demo.upstream import Upstream

KEYS = {"openai": "sk-openai-real", "anthropic": "sk-ant-real"}
MESSAGES: Any = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]
REPLY = "You said 5 characters."


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.create(tmp_path_factory.mktemp("tls"), "localhost", "127.0.0.1")


@pytest.fixture(scope="module")
def trust(certificates: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificates.ca)


@pytest.fixture(scope="module")
def running(certificates: Certificates) -> Iterator[Upstream]:
    with Upstream(certificates, keys=KEYS) as upstream:
        yield upstream


@pytest.fixture
def upstream(running: Upstream) -> Upstream:
    running.clear()
    return running


@pytest.fixture
def client(upstream: Upstream, trust: ssl.SSLContext) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=upstream.url, verify=trust) as client:
        yield client


@pytest.fixture
def openai_client(upstream: Upstream, trust: ssl.SSLContext) -> Iterator[openai.OpenAI]:
    http = openai.DefaultHttpxClient(verify=trust)
    url = f"{upstream.url}/v1"
    with openai.OpenAI(api_key=KEYS["openai"], base_url=url, http_client=http) as client:
        yield client


@pytest.fixture
async def async_openai_client(
    upstream: Upstream, trust: ssl.SSLContext
) -> AsyncIterator[openai.AsyncOpenAI]:
    http = openai.DefaultAsyncHttpxClient(verify=trust)
    url = f"{upstream.url}/v1"
    async with openai.AsyncOpenAI(api_key=KEYS["openai"], base_url=url, http_client=http) as client:
        yield client


@pytest.fixture
def anthropic_client(upstream: Upstream, trust: ssl.SSLContext) -> Iterator[anthropic.Anthropic]:
    http = anthropic.DefaultHttpxClient(verify=trust)
    key = KEYS["anthropic"]
    with anthropic.Anthropic(api_key=key, base_url=upstream.url, http_client=http) as client:
        yield client


@pytest.fixture
async def async_anthropic_client(
    upstream: Upstream, trust: ssl.SSLContext
) -> AsyncIterator[anthropic.AsyncAnthropic]:
    http = anthropic.DefaultAsyncHttpxClient(verify=trust)
    key = KEYS["anthropic"]
    async with anthropic.AsyncAnthropic(
        api_key=key, base_url=upstream.url, http_client=http
    ) as client:
        yield client


class TestCertificates:
    def test_only_the_owner_reads_the_key(self, certificates: Certificates) -> None:
        """A private key is nobody else's to read."""
        assert stat.S_IMODE(certificates.key.stat().st_mode) == 0o600

    def test_a_certificate_needs_a_host(self, tmp_path: Path) -> None:
        """A certificate for nobody is a mistake."""
        with pytest.raises(ValueError, match="identity"):
            Certificates.create(tmp_path)


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


class TestRecording:
    def test_a_request_is_recorded_as_it_came(
        self, client: httpx.Client, upstream: Upstream
    ) -> None:
        """Order, duplicates, query and body are kept."""
        client.post("/echo?a=1&b=%20", headers=[("X-Twice", "1"), ("X-Twice", "2")], content="é")
        (request,) = upstream.received
        assert (request.method, request.path) == ("POST", "/echo?a=1&b=%20")
        assert (request.http_version, request.body) == ("1.1", "é".encode())
        assert request.values(b"x-twice") == [b"1", b"2"]

    def test_a_refused_request_is_recorded(self, client: httpx.Client, upstream: Upstream) -> None:
        """What arrived has arrived, whatever the answer."""
        assert client.get("/v1/models").status_code == 401
        assert len(upstream.received) == 1

    def test_the_same_key_twice_is_refused(self, client: httpx.Client) -> None:
        """A doubled credential is a defect of whoever put it there."""
        twice = [("authorization", f"Bearer {KEYS['openai']}")] * 2
        assert client.get("/v1/models", headers=twice).status_code == 401

    @pytest.mark.parametrize("name", ["x-api-key", "authorization"])
    def test_anthropic_takes_the_key_in_either_header(
        self, client: httpx.Client, name: str
    ) -> None:
        """SDKs of different ages send it differently."""
        prefix = "Bearer " if name == "authorization" else ""
        headers = {name: prefix + KEYS["anthropic"], "anthropic-version": "2023-06-01"}
        assert client.get("/v1/models", headers=headers).status_code == 200

    def test_an_unfinished_request_is_recorded(
        self, upstream: Upstream, trust: ssl.SSLContext
    ) -> None:
        """A request that breaks off has still been seen."""
        address = ("127.0.0.1", upstream.port)
        with (
            socket.create_connection(address) as plain,
            trust.wrap_socket(plain, server_hostname="localhost") as wire,
        ):
            wire.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
        deadline = time.monotonic() + 5
        while not upstream.received and time.monotonic() < deadline:
            time.sleep(0.01)
        assert [request.body for request in upstream.received] == [b"half"]


class TestEndpoints:
    def test_echo_leaks_the_credential(self, client: httpx.Client) -> None:
        """The echo gives the secret back in the body and in a header."""
        answer = client.post("/echo", headers={"Authorization": "Bearer s3cret"}, content="hi")
        assert ["authorization", "Bearer s3cret"] in answer.json()["headers"]
        assert answer.json()["body"] == "hi"
        assert answer.headers["x-echo-authorization"] == "Bearer s3cret"

    def test_stream_echo_cuts_the_credential(self, client: httpx.Client) -> None:
        """The secret arrives in pieces of the size asked for."""
        headers = {"x-api-key": "s3cret-key"}
        with client.stream("GET", "/stream-echo?chunk=4", headers=headers) as answer:
            assert list(answer.iter_raw()) == [b"s3cr", b"et-k", b"ey"]
            assert answer.headers["transfer-encoding"] == "chunked"

    def test_ticks_arrive_one_by_one(self, client: httpx.Client) -> None:
        """Every event is on the wire before the next one is made."""
        delays = []
        with client.stream("GET", "/ticks?count=5&interval=100") as answer:
            for line in answer.iter_lines():
                if line:
                    delays.append(time.time() - json.loads(line.removeprefix("data: "))["time"])
        assert len(delays) == 5
        assert max(delays) < 0.05

    @pytest.mark.parametrize("code", [200, 204, 404, 429, 503])
    def test_status(self, client: httpx.Client, code: int) -> None:
        """Any final status can be had."""
        assert client.get(f"/status/{code}").status_code == code

    def test_bytes(self, client: httpx.Client) -> None:
        """A sized answer names its length."""
        answer = client.get("/bytes/100000")
        assert answer.headers["content-length"] == "100000"
        assert len(answer.content) == 100_000

    def test_redirect(self, client: httpx.Client) -> None:
        """The target goes out as it was given."""
        answer = client.get("/redirect", params={"to": "https://elsewhere.test/a?b=c"})
        assert (answer.status_code, answer.headers["location"]) == (
            302,
            "https://elsewhere.test/a?b=c",
        )

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            pytest.param("/nowhere", 404, id="unknown path"),
            pytest.param("/stream-echo?chunk=0", 400, id="pieces of no size"),
            pytest.param("/bytes/many", 400, id="a length that is no number"),
        ],
    )
    @pytest.mark.parametrize("version", [{}, {"anthropic-version": "2023-06-01"}])
    def test_errors_are_json(
        self, client: httpx.Client, path: str, status: int, version: dict[str, str]
    ) -> None:
        """An error has the shape of the provider that the request is meant for."""
        answer = client.get(path, headers=version)
        assert answer.status_code == status
        assert answer.json()["error"]["message"]
        assert answer.json().get("type") == ("error" if version else None)


class TestServing:
    def test_without_keys_any_request_is_accepted(
        self, certificates: Certificates, trust: ssl.SSLContext
    ) -> None:
        """An upstream without keys asks for none."""
        with Upstream(certificates) as open_to_all:
            assert httpx.get(f"{open_to_all.url}/v1/models", verify=trust).status_code == 200

    def test_a_missing_certificate_raises_at_once(self, tmp_path: Path) -> None:
        """Whoever opens the context learns of it, not a thread."""
        nothing = Certificates(tmp_path / "ca", tmp_path / "chain", tmp_path / "key")
        with pytest.raises(FileNotFoundError), Upstream(nothing):
            pass

    def test_stops_at_once(
        self,
        certificates: Certificates,
        trust: ssl.SSLContext,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Neither an idle client, nor a running stream, nor a silent connection holds it back."""
        with ExitStack() as clients:
            with Upstream(certificates) as upstream:
                clients.enter_context(socket.create_connection(("127.0.0.1", upstream.port)))
                client = clients.enter_context(httpx.Client(base_url=upstream.url, verify=trust))
                ticks = clients.enter_context(client.stream("GET", "/ticks?count=1000"))
                next(ticks.iter_raw())
                client.get("/echo")
                began = time.monotonic()
            assert time.monotonic() - began < 1
        assert not {record.name for record in caplog.records} & {"uvicorn.error", "asyncio"}

    async def test_speaks_http2_under_another_server(
        self, certificates: Certificates, trust: ssl.SSLContext
    ) -> None:
        """The app serves HTTP/2 as well, under a server that has it."""
        upstream = Upstream(certificates, keys=KEYS)
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        config = hypercorn.Config()
        config.bind = [f"fd://{listener.detach()}"]
        config.certfile, config.keyfile = str(certificates.chain), str(certificates.key)
        config.errorlog = None
        done = asyncio.Event()
        app = cast("Any", upstream.app)
        serving = asyncio.create_task(
            hypercorn.asyncio.serve(app, config, shutdown_trigger=done.wait, mode="asgi")
        )
        async with httpx.AsyncClient(verify=trust, http2=True) as client:
            answer = await client.get(
                f"https://localhost:{port}/v1/models?x=1",
                headers={"authorization": f"Bearer {KEYS['openai']}"},
            )
        done.set()
        await serving
        assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
        (request,) = upstream.received
        assert (request.http_version, request.path) == ("2", "/v1/models?x=1")
        assert request.values(b"host") == [f"localhost:{port}".encode()]
