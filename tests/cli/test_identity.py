"""`interlock issuer`, `interlock identity`, and a grant that a person's token roots."""

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from interlock.installation import Installation
from interlock.settings import Settings
from tests.cli.terminal import Terminal
from tests.federation.authority import Authority
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


def test_the_doctor_asks_for_the_keys_of_issuers(lived_in: Terminal, provider: Provider) -> None:
    """They can be had, or not; and somebody has to look at who was registered."""
    ca = ("--ca", str(provider.certificates.ca))
    crowd = ("--agent-claim", "sub", "--auto-register", "--most-agents", "1")
    lived_in.does("issuer", "add", provider.url, "--audience", AUDIENCE, *ca, *crowd)

    def told() -> list[tuple[str, str]]:
        found = lived_in.run("doctor", "--json").objects
        return [(c["status"], c["found"]) for c in found if c["subject"] == "issuers"]

    assert told() == [("ok", f"{provider.url}: keys: 1")]
    with Installation(Settings.load(home=lived_in.home)) as home:
        text = provider.token(sub="newcomer")
        asyncio.run(home.federation.prepare(text, time.time()))
    provider.answers["/keys"] = (500, {}, b"{}")
    failure, warning = told()
    provider.answers.clear()
    assert failure == ("failure", f"{provider.url}: {provider.url}/keys answered 500")
    assert warning == ("warning", f"{provider.url} has registered 1 of 1 agents")


def test_the_doctor_reads_the_authorities_of_clients(lived_in: Terminal, tmp_path: Path) -> None:
    """And says when nobody can be proven by them any more."""
    authority = Authority(tmp_path / "clients")
    files = {"INTERLOCK_CLIENT_CA": str(authority.ca), "INTERLOCK_CLIENT_CRL": str(authority.crl)}

    def told() -> list[tuple[str, str]]:
        found = lived_in.run("doctor", "--json", **files).objects
        return [(c["status"], c["found"]) for c in found if c["subject"] == "certificates"]

    assert told() == [("ok", "authorities: 1, revocation lists: 1")]
    authority.publish(ends=-timedelta(hours=1))
    ((status, found),) = told()
    assert (status, found[:28]) == ("failure", "the revocation list ended on")
    authority.crl.write_text("broken")
    ((status, found),) = told()
    assert status == "failure"
    assert found.endswith("holds no revocation list in PEM")


def test_an_issuer_is_refused_by_the_option_that_is_wrong(lived_in: Terminal) -> None:
    """One line, and nothing is stored."""
    for words, said in (
        (("https://idp.example", "--audience", "a", "--auto-register"), "--agent-claim: "),
        (("http://idp.example", "--audience", "a"), "URL: "),
        (("spiffe://td.example", "--audience", "a"), "--jwks: "),
    ):
        assert said in lived_in.fails(2, "issuer", "add", *words)
    assert lived_in.does("issuer", "list", "--json").objects == []
