"""Why an agent calls: intent, goal and delegation are judged on a real call."""

import threading

import httpx
import pytest
from nacl.signing import SigningKey

from interlock.delegation import Scope, attenuate, grant
from interlock.model import Entity, Mode, Trust
from interlock.store.goals import Goal, Status
from tests.door.world import CHAT, TRUSTED, UNVERIFIED, World

FOREVER = 4_000_000_000.0
EVERYTHING = Scope(("*",), ("*",), ("*",), ("*",), 0.0, FOREVER, depth=4)


def chat(world: World, mode: Mode, agent: str = TRUSTED, **headers: str) -> httpx.Response:
    """One chat call with declaration headers."""
    said = {f"Interlock-{name.replace('_', '-')}": value for name, value in headers.items()}
    with world.client(mode, agent) as client:
        return client.post(f"{world.openai}/v1/chat/completions", json=CHAT, headers=said)


def decision_of(world: World, answer: httpx.Response) -> dict[str, object]:
    """The recorded decision of an answer."""
    found: dict[str, object] = world.events(answer.headers["interlock-decision-id"])[0]["body"]
    return found


class TestIntent:
    """Does the stated intent match the operation?"""

    def test_a_fitting_intent_passes(self, world: World) -> None:
        """By category, and by words alone."""
        for said in ({"Intent_Category": "Research"}, {"Intent": "summarise recent papers"}):
            answer = chat(world, Mode.ENFORCE, **said)
            assert answer.status_code == 200

    @pytest.mark.parametrize(
        "said",
        [
            pytest.param({"Intent_Category": "WorldDomination"}, id="an unknown category"),
            pytest.param({"Intent_Category": "Administration"}, id="no words where they must be"),
        ],
    )
    def test_one_that_does_not_fit_is_denied(self, world: World, said: dict[str, str]) -> None:
        """At the stage intent, before any policy, and nothing leaves."""
        answer = chat(world, Mode.ENFORCE, **said)
        assert answer.status_code == 403
        assert decision_of(world, answer)["stage"] == "intent"
        assert world.received() == []

    def test_observe_mode_records_it_alone(self, world: World) -> None:
        """The call goes on."""
        answer = chat(world, Mode.OBSERVE, Intent_Category="WorldDomination")
        assert answer.status_code == 200
        assert answer.headers["interlock-decision"] == "would_deny"


class TestGoal:
    """Is there an open goal that justifies the call?"""

    def add(self, world: World, stem: str, **limits: object) -> str:
        """Add an active goal and answer its id."""
        id_ = world.fresh(stem)
        world.change(lambda i: i.goals.add(Goal(id_, **limits)))  # type: ignore[arg-type]
        return id_

    def test_an_open_goal_counts_actions_and_tokens(self, world: World) -> None:
        """What the answer used is settled from the outcome."""
        goal = self.add(world, "counted", max_actions=5)
        answer = chat(world, Mode.ENFORCE, Goal=goal)
        assert answer.status_code == 200
        used = world.outcome(answer.headers["interlock-decision-id"])
        found = world.change(lambda i: i.goals.get(goal))
        assert found is not None
        assert found.used_actions == 1
        assert found.used_tokens == used["tokens_in"] + used["tokens_out"] > 0
        assert decision_of(world, answer)["goal"] == goal

    @pytest.mark.parametrize(
        ("limits", "status"),
        [
            pytest.param({"status": Status.DRAFT}, "Draft", id="one that has not begun"),
            pytest.param({"starts_at": FOREVER}, "NotYet", id="a future one"),
            pytest.param({"expires_at": 1.0}, "Expired", id="one that is over"),
            pytest.param({"agents": frozenset({UNVERIFIED})}, "Foreign", id="another agent's"),
            pytest.param({"actions": frozenset({"embed"})}, "Foreign", id="one for other actions"),
            pytest.param(None, "Unknown", id="one that nobody knows"),
        ],
    )
    def test_a_goal_that_is_not_open_is_denied(
        self, world: World, limits: dict[str, object] | None, status: str
    ) -> None:
        """At the stage goal, and nothing leaves or is counted."""
        goal = "unheard-of" if limits is None else self.add(world, "closed", **limits)
        answer = chat(world, Mode.ENFORCE, Goal=goal)
        assert answer.status_code == 403
        assert status in answer.text
        assert decision_of(world, answer)["stage"] == "goal"
        assert world.received() == []

    def test_calls_that_race_get_exactly_what_is_left(self, world: World) -> None:
        """Twenty calls at once for five actions, through two front doors on one store."""
        goal = self.add(world, "raced", max_actions=5)
        world.change(lambda i: i.modes.clear("agent", TRUSTED))
        statuses: list[int] = []

        def call() -> None:
            statuses.append(chat(world, Mode.ENFORCE, Goal=goal).status_code)

        threads = [threading.Thread(target=call) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [200] * 5 + [403] * 15
        assert len(world.received()) == 5


class TestDelegation:
    """On whose authority, and within what was delegated?"""

    @pytest.fixture
    def ada(self, world: World) -> SigningKey:
        """The key of a user, bound in the registry."""
        key = SigningKey.generate()
        world.change(lambda i: i.delegations.add_key(Entity("User", "ada"), key.verify_key))
        return key

    def chain(self, ada: SigningKey, scope: Scope = EVERYTHING, to: str = TRUSTED) -> str:
        """A chain of one link from ada."""
        return grant(ada, Entity("User", "ada"), Entity("Agent", to), scope, now=FOREVER - 1)

    def test_a_valid_chain_is_told_to_policies(self, world: World, ada: SigningKey) -> None:
        """The call passes, and the chain is checked against its scope."""
        assert chat(world, Mode.ENFORCE, Delegation=self.chain(ada)).status_code == 200

    def test_what_was_not_delegated_is_denied(self, world: World, ada: SigningKey) -> None:
        """The agent may chat by policy; ada delegated reading only."""
        narrow = Scope(("read",), ("*",), ("*",), ("*",), 0.0, FOREVER)
        answer = chat(world, Mode.ENFORCE, Delegation=self.chain(ada, narrow))
        assert answer.status_code == 403
        assert decision_of(world, answer)["stage"] == "delegation"
        assert world.received() == []

    @pytest.mark.parametrize("what", ["flipped", "foreign key", "for another agent", "nonsense"])
    def test_a_chain_that_does_not_hold_is_denied(
        self, world: World, ada: SigningKey, what: str
    ) -> None:
        """Whatever is wrong about it."""
        chains = {
            "flipped": self.chain(ada)[:-30] + "A" * 30,
            "foreign key": self.chain(SigningKey.generate()),
            "for another agent": self.chain(ada, to=UNVERIFIED),
            "nonsense": "v4.public.nonsense",
        }
        answer = chat(world, Mode.ENFORCE, Delegation=chains[what])
        assert answer.status_code == 403
        assert decision_of(world, answer)["stage"] == "delegation"
        assert world.received() == []

    def test_a_quarantined_agent_in_the_middle_breaks_the_chain(
        self, world: World, ada: SigningKey
    ) -> None:
        """Whoever passes authority on has to be in good standing when it is used."""
        between = SigningKey.generate()
        middle = world.join("middle")
        world.change(lambda i: i.delegations.add_key(Entity("Agent", middle), between.verify_key))
        first = self.chain(ada, to=middle)
        narrower = Scope(("chat",), ("*",), ("*",), ("*",), 0.0, FOREVER, depth=1)
        chain = attenuate(first, between, Entity("Agent", TRUSTED), narrower, now=FOREVER - 1)
        assert chat(world, Mode.ENFORCE, Delegation=chain).status_code == 200
        world.change(lambda i: i.registry.set_trust(middle, Trust.QUARANTINED))
        assert chat(world, Mode.ENFORCE, Delegation=chain).status_code == 403
