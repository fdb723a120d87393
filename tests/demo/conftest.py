"""One local upstream for all tests of this folder, and the clients that speak to it."""

import ssl
from collections.abc import AsyncIterator, Iterator

import anthropic
import httpx
import openai
import pytest

from interlock.demo.certificates import Certificates
from interlock.demo.upstream import Upstream
from tests.demo.provider import KEYS


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.create(tmp_path_factory.mktemp("tls"), "localhost", "127.0.0.1")


@pytest.fixture(scope="session")
def trust(certificates: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificates.ca)


@pytest.fixture(scope="session")
def running(certificates: Certificates) -> Iterator[Upstream]:
    with Upstream(certificates, keys=KEYS) as upstream:
        yield upstream


@pytest.fixture
def upstream(running: Upstream) -> Upstream:
    running.clear()
    return running


@pytest.fixture
def client(upstream: Upstream, trust: ssl.SSLContext) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=upstream.url, verify=trust, timeout=20) as client:
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
