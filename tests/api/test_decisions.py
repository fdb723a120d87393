"""`POST /authorize`: the words of the reference, and who is believed."""

from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from interlock.delegation import Scope, grant
from interlock.model import Agent, Entity, Trust
from interlock.store.goals import Goal
from tests.api.service import Service

CHAT = {"principal": 'Agent::"one"', "action": "chat", "resource": 'Model::"gpt-4o"'}
FOREVER = 4_000_000_000.0
EVERYTHING = Scope(("*",), ("*",), ("*",), ("*",), 0.0, FOREVER, depth=4)
# The policy of the reference, for a model so that the front door's own rules do not matter.
CLAIMS = """
@id("claims") permit (principal, action, resource is Document)
when { context.goal_status == "Active" || context.delegation_valid };
"""


def test_the_answer_has_the_shape_of_the_reference(shared: Service) -> None:
    """`decision`, `reasons`, `diagnostics`; beside them what a front door would do."""
    answer = shared.post("/authorize", CHAT, "service")
    assert answer["decision"] == "allow"
    assert [reason["policy_id"] for reason in answer["reasons"]] == ["trusted-agents-use-models"]
    assert set(answer["diagnostics"]) == {
        "policies_evaluated",
        "policies_applicable",
        "evaluation_time_ms",
    }
    assert (answer["effect"], answer["mode"]) == ("allow", "observe")
    recorded = shared.get(f"/ledger/{answer['decision_id']}")[0]
    assert recorded["kind"] == "question"
    assert recorded["body"]["asker"] == "token:service"


def test_an_agent_asks_for_itself_alone(shared: Service) -> None:
    """Neither for another agent, nor for a user."""
    assert shared.post("/authorize", CHAT, "one")["decision"] == "allow"
    for principal in ('Agent::"two"', 'User::"one"', 'Group::"one"'):
        answer = shared.ask("POST", "/authorize", "one", CHAT | {"principal": principal})
        assert answer.status_code == 403


@pytest.mark.parametrize(
    "context",
    [
        pytest.param({"goal_status": "Active"}, id="a goal that it says is open"),
        pytest.param({"delegation_valid": True}, id="a delegation that it says is valid"),
        pytest.param(
            {"delegation_chain": [{"from": 'User::"u"', "to": 'Agent::"one"'}]},
            id="a chain unsigned",
        ),
        pytest.param({"trust": "trusted", "mode": "observe"}, id="trust"),
    ],
)
def test_what_an_agent_says_of_its_authority_is_not_believed(
    service: Service, context: dict[str, Any]
) -> None:
    """A service that vouches for it is."""
    (service.records.settings.policies or service.home).joinpath("claims.cedar").write_text(CLAIMS)
    body = {"principal": 'Agent::"one"', "action": "read", "resource": 'Document::"d"'}
    body |= {"context": context}
    assert service.post("/authorize", body, "one")["decision"] == "deny"
    if {"goal_status", "delegation_valid"} & set(context):
        assert service.post("/authorize", body, "service")["decision"] == "allow"


def test_goals_and_chains_of_an_agent_are_looked_up(service: Service) -> None:
    """An open goal counts, a closed one denies before any policy; so with signed chains."""
    (service.records.settings.policies or service.home).joinpath("claims.cedar").write_text(CLAIMS)
    records, key = service.records, SigningKey.generate()
    records.goals.add(Goal("g1"))
    records.delegations.add_key(Entity("User", "ada"), key.verify_key)
    chain = grant(key, Entity("User", "ada"), Entity("Agent", "one"), EVERYTHING, 1.0)
    body = {"principal": 'Agent::"one"', "action": "read", "resource": 'Document::"d"'}
    for context, decision, reason in (
        ({"goal": "g1"}, "allow", "claims"),
        ({"goal": "g9"}, "deny", "goal-not-active"),
        ({"delegation": chain}, "allow", "claims"),
        ({"delegation": chain + "x"}, "deny", "delegation-broken"),
    ):
        answer = service.post("/authorize", body | {"context": context}, "one")
        assert (answer["decision"], answer["reasons"][0]["policy_id"]) == (decision, reason)


def test_a_session_speaks_for_its_agent_with_what_it_pins(service: Service) -> None:
    """What the agent says beside it does not count."""
    started = service.post("/sessions", {"agent": "one", "intent_category": "Research"}, "operator")
    service.keys["session"] = started["token"]
    said = CHAT | {"context": {"intent_category": "Nonsense"}}
    assert service.post("/authorize", said, "one")["decision"] == "deny"
    assert service.post("/authorize", said, "session")["decision"] == "allow"
    ended = service.post(f"/sessions/{started['id']}/end", {"reason": "done"}, "operator")
    assert ended["state"] == "ended"
    assert service.get(f"/sessions/{started['id']}", "viewer") == ended
    assert service.ask("GET", "/sessions/ses_0").status_code == 404
    assert service.ask("POST", "/authorize", "session", CHAT).status_code == 401


def test_an_agent_that_is_cut_off_is_denied(service: Service) -> None:
    """Whoever asks."""
    service.records.registry.add(Agent("bad", trust=Trust.QUARANTINED))
    answer = service.post("/authorize", CHAT | {"principal": 'Agent::"bad"'}, "operator")
    assert answer["reasons"][0]["policy_id"] == "agent-quarantined"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"principal": "one"}, "principal: ", id="a principal without a type"),
        pytest.param({"action": "fly"}, "action: ", id="an unknown action"),
        pytest.param({"context": {"goal": 7}}, "context.goal", id="a goal that is no text"),
        pytest.param({"context": {"mood": "x"}}, "context.mood", id="an unknown attribute"),
        pytest.param({"question": 1}, "question", id="an unknown field"),
    ],
)
@pytest.mark.parametrize("who", ["one", "service"])
def test_a_bad_question_is_refused_with_its_field(
    shared: Service, who: str, change: dict[str, Any], said: str
) -> None:
    """400, one line."""
    answer = shared.ask("POST", "/authorize", who, CHAT | change)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]


def test_an_agent_asks_no_more_often_than_it_may_call(tmp_path: Path) -> None:
    """Each question is a row of the ledger; others, and tokens, are not held up by it."""
    with Service(tmp_path / "home", {"max_rate": 2}) as service:
        other = CHAT | {"principal": 'Agent::"two"'}
        answers = [service.ask("POST", "/authorize", "one", CHAT) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
        assert int(answers[-1].headers["retry-after"]) == 1
        assert "interlock_max_rate" in answers[-1].json()["error"]["message"]
        assert service.ask("POST", "/authorize", "two", other).status_code == 200
        for _ in range(4):
            service.post("/authorize", CHAT, "service")
