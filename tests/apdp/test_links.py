"""Templates and links: data makes a policy, and what is not exactly right makes none."""

import os
import time
from pathlib import Path

import pytest

from interlock.apdp import DecisionPoint, PolicyFolder, load_policies
from interlock.apdp.difference import changes
from interlock.apdp.links import Link, parse_links, write_links
from interlock.errors import PolicyError
from interlock.model import Agent, Decision, Effect, Entity, Mode
from tests.apdp.test_decision_point import CALL, NOON, Declaration, replace

TEMPLATE = """
@id("chats") @description("It may use this model.")
permit (principal == ?principal, action in Action::"execute", resource == ?resource);
@id("of-group")
permit (principal is Agent in ?principal, action in Action::"read", resource);
"""
LINK = """
[[link]]
id = "ann-gpt4o"
template = "chats"
principal = 'Agent::"ann"'
resource = 'Model::"gpt-4o"'
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "grants.cedar").write_text(TEMPLATE)
    (tmp_path / "links.toml").write_text(LINK)
    return tmp_path


def decide(folder: Path, agent: str = "ann", model: str = "gpt-4o", now: float = NOON) -> Decision:
    """Decide a chat by what the folder says."""
    point = DecisionPoint(load_policies(folder))
    call = replace(CALL, resource=Entity("Model", model))
    return point.decide(
        "d", Agent(agent), call, Declaration(), secret="", mode=Mode.ENFORCE, now=now
    )


def test_a_link_grants_to_its_agent_alone(folder: Path) -> None:
    """It is reported by its own id, with the description of the template."""
    decision = decide(folder)
    (reason,) = decision.reasons
    assert decision.effect is Effect.ALLOW
    assert str(reason) == "ann-gpt4o: It may use this model."
    assert decide(folder, agent="bob").effect is Effect.DENY
    assert decide(folder, model="gpt-5").effect is Effect.DENY
    assert [*load_policies(folder).by_id] == ["ann-gpt4o"]


def test_a_link_may_have_a_description_of_its_own(folder: Path) -> None:
    """Which is what people read then."""
    (folder / "links.toml").write_text(LINK + 'description = "For the pilot."')
    assert decide(folder).reasons[0].description == "For the pilot."


def test_a_template_without_a_link_grants_nothing(folder: Path) -> None:
    """And a folder of which the last link was taken back still loads."""
    (folder / "links.toml").unlink()
    assert decide(folder).effect is Effect.DENY


def test_a_link_ends_at_its_second(folder: Path) -> None:
    """The policy itself asks what time it is, so nothing has to be loaded again."""
    (folder / "links.toml").write_text(LINK + "expires = 2023-11-14T22:13:20Z")
    assert decide(folder, now=NOON - 0.01).effect is Effect.ALLOW
    assert decide(folder, now=NOON).effect is Effect.DENY


def test_a_slot_behind_a_type_is_filled_too(folder: Path) -> None:
    """`principal is Agent in ?principal` becomes a group's grant."""
    link = '[[link]]\nid = "lab"\ntemplate = "of-group"\nprincipal = \'Group::"lab"\''
    (folder / "links.toml").write_text(link)
    assert 'principal is Agent in Group::"lab"' in load_policies(folder).text("lab")


@pytest.mark.parametrize(
    ("links", "said"),
    [
        pytest.param("[[link]", "links.toml: ", id="text that is no TOML"),
        pytest.param("a = " + "[" * 5000, "nested too deeply", id="5,000 brackets"),
        pytest.param("x = 1", "use entries under", id="another key"),
        pytest.param(LINK + "who = 1", "'ann-gpt4o': who: unknown field", id="an unknown field"),
        pytest.param(LINK.replace('"chats"', "7"), "template: is not text", id="a number"),
        pytest.param(LINK.replace('"chats"', '"chat"'), "none with @id 'chat'", id="no template"),
        pytest.param(LINK.replace("chats", "of-group"), "resource: .* no slot", id="a slot more"),
        pytest.param(LINK.replace("resource =", "#"), "resource: .* a slot for", id="a slot less"),
        pytest.param(LINK.replace("Agent:", "Agnt:"), "unrecognized entity", id="unknown type"),
        pytest.param(LINK.replace("Model:", "Secret:"), "applicable action", id="a wrong type"),
        pytest.param(
            LINK.replace('"ann"', '"a", action, resource); permit(principal == Agent::"b"'),
            "principal: .* is not like",
            id="Cedar text in place of an entity",
        ),
        pytest.param(LINK.replace("ann-gpt4o", "a b"), "id: use letters", id="a bad id"),
        pytest.param(LINK + LINK, "'ann-gpt4o' is used twice", id="one id twice"),
        pytest.param(LINK.replace("ann-gpt4o", "chats"), "is used twice", id="a policy's id"),
        pytest.param(LINK + "expires = 2030-01-01", "expires: use a time", id="a day"),
        pytest.param("\x00", "links.toml: ", id="a zero byte"),
    ],
)
def test_a_wrong_link_is_refused_and_named(folder: Path, links: str, said: str) -> None:
    """One line with file, link and field; the set is not loaded."""
    (folder / "links.toml").write_text(links)
    with pytest.raises(PolicyError, match=said) as refused:
        load_policies(folder)
    assert "links.toml" in str(refused.value)


def test_a_link_to_a_policy_without_slots_is_refused(folder: Path) -> None:
    """Only a template can be linked."""
    (folder / "more.cedar").write_text('@id("chat-all") permit(principal, action, resource);')
    (folder / "links.toml").write_text(LINK.replace('"chats"', '"chat-all"'))
    with pytest.raises(PolicyError, match="none with @id 'chat-all'"):
        load_policies(folder)


def test_a_template_that_nobody_links_is_checked(folder: Path) -> None:
    """A misspelt word does not wait for the first grant."""
    (folder / "more.cedar").write_text(
        '@id("t") permit(principal == ?principal, action, resource) when { context.hours > 1 };'
    )
    with pytest.raises(PolicyError, match=r"more.cedar: template 't': .*hours"):
        load_policies(folder)


def test_links_read_back_as_they_were_written() -> None:
    """Whatever stands in them."""
    links = (
        Link("a", "t", 'Agent::"a\\"\\\\b"', "", 'say "hi"\x7f\u2028\U0001f600', 1_800_000_000),
        Link("b", "t", resource='Model::"m"'),
    )
    assert parse_links(write_links(links)) == links
    assert parse_links("") == ()


def test_changed_links_are_taken_up_and_are_another_set(folder: Path) -> None:
    """The digest covers them, and a broken file leaves the last good set in force."""
    policies = PolicyFolder(folder)
    before = policies.current.digest
    path = folder / "links.toml"
    path.write_text(LINK + LINK.replace("ann", "bob"))
    os.utime(path, (time.time() + 5, time.time() + 5))
    assert policies.reload(lambda *_: None)
    assert policies.current.digest != before
    assert "bob-gpt4o" in policies.current.by_id
    path.write_text("broken")
    assert not policies.reload(lambda *_: None)
    assert "bob-gpt4o" in policies.current.by_id


def test_a_difference_shows_links(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """As the policies that they are."""
    after = tmp_path_factory.mktemp("after")
    (after / "grants.cedar").write_text(TEMPLATE)
    (change,) = changes(folder, after)
    assert (change.kind, change.id) == ("removed", "ann-gpt4o")
