"""`interlock issuer`, `interlock identity`, and a grant that a person's token roots."""

from collections.abc import Iterator

import pytest

from tests.cli.terminal import Terminal
from tests.federation.provider import AUDIENCE, Provider

AGENT = "research-agent"
BOT = "spiffe://td.example/bot"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """The identity provider of the people."""
    with Provider(tmp_path_factory.mktemp("idp")) as provider:
        yield provider


def test_names_are_bound_listed_and_unbound(lived_in: Terminal, provider: Provider) -> None:
    """One name stands for one holder, and goes with its agent."""
    bound = lived_in.does("identity", "add", f"agent:{AGENT}", "--spiffe", BOT, "--json").object
    assert bound == {"kind": "spiffe", "name": BOT, "holder": f'Agent::"{AGENT}"'}
    assert "bound already" in lived_in.fails(2, "identity", "add", "user:ada", "--spiffe", BOT)
    assert BOT in lived_in.does("identity", "list").out
    lived_in.does("agent", "rm", AGENT)
    assert lived_in.does("identity", "list", "--json").objects == []
    assert "give one of" in lived_in.fails(2, "identity", "add", "user:ada")
    file = str(provider.certificates.chain)
    assert "is not bound" in lived_in.fails(2, "identity", "rm", "--certificate", file)


def test_a_person_grants_by_a_token(lived_in: Terminal, provider: Provider) -> None:
    """The key of the person whose token it is signs; a token of anybody else grants nothing."""
    ca = ("--ca", str(provider.certificates.ca), "--max-age", "1h", "--algorithm", "ES256")
    add = ("issuer", "add", provider.url, "--audience", AUDIENCE, *ca)
    added = lived_in.does(*add, "--json").object
    assert (added["algorithms"], added["max_age_s"], added["ca"]) == (["ES256"], 3600, True)
    lived_in.does("identity", "add", "user:ada", "--oidc", f"{provider.url}#ada-7f3a")
    lived_in.does("key", "new", "user:ada")
    grant = ("delegation", "grant", "--as-me", "--to", AGENT, "--action", "read")
    token = provider.token(sub="ada-7f3a").encode()
    chain = lived_in.does(*grant, "--json", stdin=token).object
    assert chain["from"] == 'User::"ada"'
    lived_in.does("delegation", "verify", chain["chain"], "--agent", AGENT)
    stranger = provider.token(sub="eve").encode()
    assert "proves no person here" in lived_in.fails(2, *grant, stdin=stranger)
    assert "--from and --as-me" in lived_in.fails(2, *grant, "--from", "user:ada")
    lived_in.does("issuer", "rm", provider.url)
    assert "proves no person here" in lived_in.fails(2, *grant, stdin=token)
