"""The catalogue's files say what is true, in words that policies have.

`python tests/calls/test_providers.py > docs/providers.md` writes their page anew.
"""

import sys
from pathlib import Path

import pytest

from broker import parse_recipe
from interlock.apdp.policies import load_policies, shipped
from interlock.calls import Catalogue, Provider, describe
from interlock.calls.hosts import parse_destination
from interlock.model import Authority, Request

CATALOGUE = Catalogue.shipped()
PAGE = Path(__file__).resolve().parents[2] / "docs" / "providers.md"

TOP = """\
# Providers

`interlock secret set NAME` needs no further word for these names. `--host` binds a key more
narrowly than here, which is wise where each tenant has a host of its own. A `*` stands for one
label of a host or a part of one. What an API offers beside the actions named here is judged as
`http_get`, `http_post` and so on, on its `Endpoint`.

| provider | name of the secret | hosts | recipe | actions |
|---|---|---|---|---|
"""
BOTTOM = """
This page is written by `python tests/calls/test_providers.py > docs/providers.md`.
"""

V = "/v1/projects/p/locations/l/publishers/google/models"
SAMPLES = [
    ("openai", "POST", "/v1/chat/completions", "chat", 'Model::"m"'),
    ("azure-openai", "POST", "/openai/deployments/d/chat/completions?x=1", "chat", 'Model::"d"'),
    ("azure-openai", "POST", "/openai/v1/chat/completions", "chat", 'Model::"m"'),
    ("anthropic", "POST", "/v1/messages", "chat", 'Model::"m"'),
    ("gemini", "POST", "/v1beta/models/g-2:generateContent", "chat", 'Model::"g-2"'),
    ("gemini", "POST", "/v1beta/models/g-2%3AgenerateContent", "chat", 'Model::"g-2"'),
    ("gemini", "POST", "/v1beta/openai/chat/completions", "chat", 'Model::"m"'),
    ("vertex-ai", "POST", f"{V}/g:streamGenerateContent", "chat", 'Model::"g"'),
    ("bedrock", "POST", "/model/a.b-v1%3A0/converse", "chat", 'Model::"a.b-v1:0"'),
    ("mistral", "POST", "/v1/embeddings", "embed", 'Model::"m"'),
    ("cohere", "POST", "/v2/chat", "chat", 'Model::"m"'),
    ("groq", "POST", "/openai/v1/chat/completions", "chat", 'Model::"m"'),
    ("openrouter", "POST", "/api/v1/chat/completions", "chat", 'Model::"m"'),
    ("deepseek", "POST", "/chat/completions", "chat", 'Model::"m"'),
    ("xai", "POST", "/v1/images/generations", "generate_image", 'Model::"m"'),
    ("together", "POST", "/v1/chat/completions", "chat", 'Model::"m"'),
    ("fireworks", "POST", "/inference/v1/chat/completions", "chat", 'Model::"m"'),
    ("hugging-face", "POST", "/v1/chat/completions", "chat", 'Model::"m"'),
    ("github", "GET", "/repos/a/b", "http_get", 'Endpoint::"api.github.com"'),
    ("gitlab", "POST", "/api/v4/projects/1/uploads", "upload_file", 'Service::"gitlab"'),
    ("slack", "GET", "/api/chat.postMessage", "http_post", 'Endpoint::"slack.com"'),
    ("slack", "POST", "/api/chat.delete", "http_delete", 'Endpoint::"slack.com"'),
    ("stripe", "POST", "/v1/charges", "http_post", 'Endpoint::"api.stripe.com"'),
    ("notion", "POST", "/v1/search", "http_get", 'Endpoint::"api.notion.com"'),
    ("linear", "POST", "/graphql", "http_post", 'Endpoint::"api.linear.app"'),
    ("jira", "POST", "/rest/api/3/search/jql", "http_get", 'Endpoint::"me.atlassian.net"'),
    ("sendgrid", "POST", "/v3/mail/send", "http_post", 'Endpoint::"api.sendgrid.com"'),
    ("twilio", "GET", "/2010-04-01/Accounts.json", "http_get", 'Endpoint::"api.twilio.com"'),
]


def page() -> str:
    """The page about all providers."""
    return TOP + "".join(map(row, CATALOGUE)) + BOTTOM


def row(provider: Provider) -> str:
    """The line about one provider."""
    hosts, actions = provider.hosts, sorted({o.action for o in provider.operations})
    listed = (", ".join(f"`{word}`" for word in words) for words in (hosts, actions))
    cells = (provider.service, f"`{provider.secret}`", next(listed), f"`{provider.recipe}`")
    return f"| {' | '.join((*cells, next(listed)))} |\n"


@pytest.mark.parametrize(("service", "method", "path", "action", "resource"), SAMPLES)
def test_a_real_path_has_its_name(
    service: str, method: str, path: str, action: str, resource: str
) -> None:
    """As the provider's own documentation spells it."""
    provider = CATALOGUE.named(service)
    assert provider
    host = provider.hosts[0].replace("*", "me")
    body = b'{"model": "m"}'
    request = Request(method, "https", Authority(host, 443), path, body, "application/json")
    said = describe(request, CATALOGUE.at(host))
    assert (said.action, str(said.resource), said.doubt) == (action, resource, "")


def test_every_provider_has_a_sample() -> None:
    """Nobody adds one that is not tried."""
    assert {service for service, *_ in SAMPLES} == {p.service for p in CATALOGUE}
    assert len(list(CATALOGUE)) == 24


@pytest.mark.parametrize("provider", list(CATALOGUE), ids=lambda p: p.service)
def test_a_provider_is_sound(provider: Provider) -> None:
    """Hosts are canonical and safe, the recipe is known, every action is in the schema."""
    assert all(parse_destination(host).host == host for host in provider.hosts)
    parse_recipe(provider.recipe)
    actions = {operation.action for operation in provider.operations}
    assert actions <= load_policies(shipped()).action_names


@pytest.mark.parametrize(
    ("service", "path", "body", "facts"),
    [
        pytest.param(
            "gemini",
            "/v1beta/models/g:streamGenerateContent",
            b'{"generationConfig": {"maxOutputTokens": 9}, "tools": '
            b'[{"functionDeclarations": [{"name": "f"}]}, {"googleSearch": {}}]}',
            (True, ("f", "googleSearch"), 9),
            id="Gemini",
        ),
        pytest.param(
            "bedrock",
            "/model/m/converse",
            b'{"inferenceConfig": {"maxTokens": 9}, "toolConfig": '
            b'{"tools": [{"toolSpec": {"name": "f"}}]}}',
            (False, ("f",), 9),
            id="Bedrock",
        ),
    ],
)
def test_facts_of_other_shapes(
    service: str, path: str, body: bytes, facts: tuple[bool, tuple[str, ...], int]
) -> None:
    """Stream, tools and the limit are read where the provider reads them."""
    provider = CATALOGUE.named(service)
    authority = Authority("example.com", 443)
    call = describe(Request("POST", "https", authority, path, body, "application/json"), provider)
    assert (call.stream, call.tools, call.max_tokens) == facts
    assert call.doubt == ""


def test_two_spellings_of_one_field_are_in_doubt() -> None:
    """Google reads either, so nobody knows which counts."""
    body = b'{"generationConfig": {}, "generation_config": {"maxOutputTokens": 9}}'
    path = "/v1beta/models/g:generateContent"
    request = Request("POST", "https", Authority("x", 443), path, body, "application/json")
    assert "two spellings" in describe(request, CATALOGUE.named("gemini")).doubt


def test_the_page_is_up_to_date() -> None:
    """docs/providers.md says what the files say."""
    assert PAGE.read_text() == page(), "python tests/calls/test_providers.py > docs/providers.md"


if __name__ == "__main__":
    sys.stdout.write(page())
