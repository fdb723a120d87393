"""Issuers and identities over HTTP: whose word is taken, and for whom."""

import pytest

from tests.api.service import Service

ISSUER = {"url": "https://idp.example", "audience": "interlock", "group_claim": "groups"}
SPIFFE = {"kind": "spiffe", "name": "spiffe://td.example/bot", "holder": 'Agent::"one"'}


def test_an_issuer_is_added_listed_and_removed(service: Service) -> None:
    """By an admin; its authorities are not shown, the ledger names who did it."""
    made = service.post("/issuers", ISSUER | {"algorithms": ["ES256", "ES256"], "max_age_s": 60})
    assert (made["algorithms"], made["max_age_s"], made["ca"]) == (["ES256"], 60, False)
    assert service.get("/issuers", "viewer") == [made]
    assert service.records.federation.issuers.all()[ISSUER["url"]].group_claim == "groups"
    assert service.ask("POST", "/issuers", "admin", ISSUER).status_code == 409
    gone = service.ask("DELETE", "/issuers?url=https://idp.example")
    assert gone.json() == {"ok": True}
    assert service.ask("DELETE", "/issuers?url=https://idp.example").status_code == 404
    assert service.get("/issuers") == []
    added, removed = service.records.ledger.tail(2)
    assert [row["body"]["action"] for row in (added, removed)] == ["issuer.add", "issuer.rm"]
    assert {row["body"]["actor"] for row in (added, removed)} == {"token:admin"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"url": "http://idp.example"}, "body.url", id="without TLS"),
        pytest.param({"url": "https://[::1"}, "body.url", id="half an address"),
        pytest.param({"jwks": "file:///etc/keys"}, "body.jwks", id="keys in a file"),
        pytest.param({"algorithms": ["HS256"]}, "body.algorithms", id="a shared secret"),
        pytest.param({"auto_register": True}, "body.agent_claim", id="registers the unnamed"),
        pytest.param({"ca": "x"}, "body.ca", id="an authority that is none"),
        pytest.param({"most_agents": 0}, "body.most_agents", id="nobody at most"),
    ],
)
def test_an_issuer_that_is_not_sound_is_refused(
    shared: Service, change: dict[str, object], said: str
) -> None:
    """By the name of the field, and nothing is stored."""
    answer = shared.ask("POST", "/issuers", "admin", ISSUER | change)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(said)
    assert shared.get("/issuers") == []


def test_a_name_is_bound_and_unbound(service: Service) -> None:
    """One name is one holder's; it has to be a name, and its agent registered."""
    assert service.post("/identities", SPIFFE) == SPIFFE
    assert service.get("/identities", "viewer") == [SPIFFE]
    for change, status in (
        ({}, 409),
        ({"holder": 'Agent::"nobody"', "name": "spiffe://td.example/x"}, 409),
        ({"name": "spiffe://TD/x"}, 400),
        ({"holder": 'Model::"m"', "name": "spiffe://td.example/x"}, 400),
    ):
        assert service.ask("POST", "/identities", "admin", SPIFFE | change).status_code == status
    place = f"/identities?kind=spiffe&name={SPIFFE['name']}"
    assert service.ask("DELETE", place).status_code == 200
    assert service.ask("DELETE", place).status_code == 404
    assert service.get("/identities") == []
