"""Policies over HTTP: written one file each, never a set that does not load."""

from pathlib import Path

import pytest

from interlock.apdp.policies import shipped
from tests.api.service import Service

READS = {
    "id": "readers",
    "name": "Readers",
    "description": "Analysts read.",
    "code": 'permit(principal is Agent, action in Action::"read", resource is Document)\n'
    'when { context.intent == "analyze" };',
}
DOCUMENT = {"principal": 'Agent::"one"', "action": "read", "resource": 'Document::"d"'}
ASKED = DOCUMENT | {"context": {"intent": "analyze"}}


def folder(service: Service) -> Path:
    """Where the policies are."""
    assert service.records.settings.policies
    return service.records.settings.policies


def contents(service: Service) -> dict[Path, str]:
    """What stands in them."""
    return {path: path.read_text() for path in folder(service).rglob("*") if path.is_file()}


def test_a_policy_is_in_force_at_once_and_gone_at_once(service: Service) -> None:
    """Created, listed, asked, deleted; the ledger tells both."""
    assert service.post("/authorize", ASKED, "service")["decision"] == "deny"
    made = service.post("/policies", READS)
    assert (made["id"], made["name"], made["active"]) == ("readers", "Readers", True)
    assert service.post("/authorize", ASKED, "service")["reasons"] == [
        {"policy_id": "readers", "description": "Analysts read."}
    ]
    assert service.get("/policies/readers", "viewer")["code"] == made["code"]
    assert "readers" in [one["id"] for one in service.get("/policies", "viewer")]
    assert service.ask("DELETE", "/policies/readers").status_code == 200
    assert service.post("/authorize", ASKED, "service")["decision"] == "deny"
    assert service.ask("GET", "/policies/readers").status_code == 404
    again = service.post("/policies", made)
    assert again["code"] == made["code"], "what was answered can be sent"
    assert service.ask("DELETE", "/policies/readers").status_code == 200
    actions = [e["body"].get("action") for e in service.records.ledger.tail(9)]
    assert [a for a in actions if a and a.startswith("policy.")] == [
        *("policy.add", "policy.rm"),
        *("policy.add", "policy.rm"),
    ]


def test_an_inactive_policy_is_observed_only(service: Service) -> None:
    """It decides nothing, and is listed as what it is."""
    assert service.post("/policies", READS | {"active": False})["active"] is False
    assert service.post("/authorize", ASKED, "service")["decision"] == "deny"


NESTED = "permit(principal, action, resource) when { " + "(" * 800 + "true" + ")" * 800 + " };"
MOOD = 'permit(principal, action, resource) when { context.mood == "x" };'


@pytest.mark.parametrize(
    ("change", "status"),
    [
        pytest.param({"code": "permit(principal"}, 400, id="half a policy"),
        pytest.param({"code": READS["code"] * 2}, 400, id="two policies"),
        pytest.param(
            {"code": "permit(principal, action, resource == ?resource);"}, 400, id="a template"
        ),
        pytest.param({"code": MOOD}, 400, id="what the schema lacks"),
        pytest.param({"code": f'@id("other") {READS["code"]}'}, 400, id="another id"),
        pytest.param({"code": NESTED}, 400, id="800 parentheses"),
        pytest.param({"id": "trusted-agents-use-models"}, 409, id="an id that is taken"),
        pytest.param({"id": "default"}, 409, id="the name of a file that is there"),
        pytest.param({"id": "../../etc/x"}, 400, id="a path"),
        pytest.param({"code": ""}, 400, id="nothing"),
        pytest.param({"description": "a\nb"}, 400, id="two lines"),
    ],
)
def test_what_would_not_load_is_not_written(
    shared: Service, change: dict[str, str], status: int
) -> None:
    """One line, without a path of this machine, and no file more or less."""
    before = contents(shared)
    answer = shared.ask("POST", "/policies", "admin", READS | change)
    assert answer.status_code == status
    assert "/tmp" not in answer.text
    assert contents(shared) == before
    assert shared.get("/policies/validate")["valid"]


def test_words_in_annotations_stay_words(service: Service) -> None:
    """A description cannot end its quotes."""
    evil = READS | {"description": '") permit(principal, action, resource); // \\'}
    service.post("/policies", evil)
    assert service.get("/policies/readers")["description"] == evil["description"]
    assert service.post("/authorize", DOCUMENT, "service")["decision"] == "deny"


def test_a_policy_among_others_in_a_file_is_not_deleted(service: Service) -> None:
    """A person edits that file; and the last policy of all stays."""
    before = (folder(service) / "default.cedar").read_text()
    assert service.ask("DELETE", "/policies/trusted-agents-use-models").status_code == 409
    assert (folder(service) / "default.cedar").read_text() == before


def test_the_shipped_policies_are_not_written(tmp_path: Path) -> None:
    """Set a folder of your own first."""
    with Service(tmp_path / "home") as service:
        for method, path, body in (
            ("POST", "/policies", READS),
            ("DELETE", "/policies/trusted-agents-use-models", None),
        ):
            answer = service.ask(method, path, "admin", body)
            assert answer.status_code == 409
            said = answer.json()["error"]["message"]
            assert f"copy {shipped()} to a folder of your own" in said


def test_texts_are_validated_without_being_stored(shared: Service) -> None:
    """With line and column."""
    good = shared.post("/policies/validate/single", {"code": READS["code"]}, "viewer")
    assert good["valid"] is True
    bad = shared.post("/policies/validate/single", {"code": "permit(\nprincipal"}, "viewer")
    assert bad["valid"] is False
    assert bad["findings"][0]["line"] == 2


def test_a_text_of_many_policies_is_not_looked_through(shared: Service) -> None:
    """A thousand would keep a core busy for minutes, for anybody who may read."""
    many = "permit(principal, action, resource);" * 1000
    found = shared.post("/policies/validate/single", {"code": many}, "viewer")["findings"]
    assert [one["rule"] for one in found] == ["single"]


def test_metadata_and_analysis_tell_what_applies(service: Service) -> None:
    """Patterns and needs of each policy; of a question, the ids that fit."""
    service.post("/policies", READS)
    (reader,) = [
        one for one in service.get("/policies/metadata", "viewer") if one["id"] == "readers"
    ]
    assert reader["principal_pattern"] == "Agent"
    assert reader["action_pattern"] == 'in Action::"read"'
    assert reader["resource_pattern"] == "Document"
    assert reader["context_requirements"] == ["intent"]
    assert reader["complexity_score"] > 1
    analysis = service.post("/policies/analyze", DOCUMENT, "viewer")
    assert "readers" in analysis["policies_applicable"]
    assert analysis["policies_total"] == len(service.get("/policies"))
