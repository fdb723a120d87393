"""Which secret goes where: the most specific binding of a call, and never one of two equals."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from broker import Secret
from interlock.calls import describe, parse_authority
from interlock.calls.hosts import parse_destination, parse_path_pattern
from interlock.errors import BindingError
from interlock.governor import Governor
from interlock.installation import Installation
from interlock.model import Agent, Binding, Call, Request, Trust
from interlock.settings import Settings
from interlock.store.bindings import bind
from interlock.store.distinct import require_distinct
from interlock.store.fit import choose

ONE, LAB = Agent("one"), Agent("two", groups=("lab",))
BOTH = Agent("three", groups=("lab", "ops"))


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with Installation(Settings.load(home=tmp_path / "home")) as installation:
        yield installation


def binding(secret: str, host: str = "api.example.com", **conditions: set[str]) -> Binding:
    """A binding with conditions."""
    plain = Binding(secret, parse_destination(host), "bearer")
    return replace(plain, **{name: frozenset(each) for name, each in conditions.items()})


def call(path: str = "/v1/files", method: str = "GET", host: str = "api.example.com") -> Call:
    """A call to a host."""
    return describe(Request(method, "https", parse_authority(host), path), None)


GENERAL = binding("general")


@pytest.mark.parametrize(
    ("special", "agent", "made", "goal"),
    [
        pytest.param(binding("s", agents={"one"}), ONE, call(), "", id="the agent's name"),
        pytest.param(binding("s", groups={"lab"}), LAB, call(), "", id="a group of the agent"),
        pytest.param(binding("s", goals={"g"}), ONE, call(), "g", id="an open goal"),
        pytest.param(binding("s", paths={"/v1"}), ONE, call(), "", id="a path above"),
        pytest.param(binding("s", paths={"/*/f*"}), ONE, call("/v1/files/7?a=1"), "", id="stars"),
        pytest.param(binding("s", methods={"GET"}), ONE, call(), "", id="the method"),
    ],
)
def test_a_condition_that_holds_goes_first(
    special: Binding, agent: Agent, made: Call, goal: str
) -> None:
    """What names the call more closely beats what fits every call."""
    assert choose([GENERAL, special], agent, made, goal) is special


@pytest.mark.parametrize(
    ("special", "made", "goal"),
    [
        pytest.param(binding("s", agents={"two"}), call(), "", id="another agent"),
        pytest.param(binding("s", groups={"lab"}), call(), "", id="a group it is not in"),
        pytest.param(binding("s", goals={"g"}), call(), "", id="no goal"),
        pytest.param(binding("s", goals={"g"}), call(), "h", id="another goal"),
        pytest.param(binding("s", paths={"/v1"}), call("/v1extra"), "", id="a longer segment"),
        pytest.param(binding("s", paths={"/v1/*"}), call("/v1"), "", id="a shorter path"),
        pytest.param(binding("s", paths={"/v1/*"}), call("/v1/"), "", id="an empty segment"),
        pytest.param(binding("s", paths={"/v1"}), call("/v1/../x"), "", id="a path in doubt"),
        pytest.param(binding("s", methods={"POST"}), call(), "", id="another method"),
        pytest.param(binding("s", "api.example.com:8443"), call(), "", id="another port"),
        pytest.param(
            binding("s", "*.api.example.com"), call(host="api.example.com"), "", id="no label"
        ),
        pytest.param(
            binding("s", "*.example.com"), call(host="a.b.example.com"), "", id="two labels"
        ),
    ],
)
def test_a_condition_that_fails_gives_nothing(special: Binding, made: Call, goal: str) -> None:
    """No condition of a binding can be talked around."""
    assert choose([special], ONE, made, goal) is None


def test_the_order_is_host_who_goal_path_method() -> None:
    """Each outweighs all that come after it."""
    ladder = [
        binding("host"),
        binding("who", "*.example.com", agents={"one"}),
        binding("group", "*.example.com", groups={"lab"}),
        binding("goal", "*.example.com", goals={"g"}),
        binding("path", "*.example.com", paths={"/v1/files"}),
        binding("star", "*.example.com", paths={"/v1/*"}),
        binding("short", "*.example.com", paths={"/v1"}),
        binding("method", "*.example.com", methods={"GET"}),
        binding("all", "*.example.com"),
    ]
    agent = replace(ONE, groups=("lab",))
    require_distinct(ladder)
    while ladder:
        assert choose(reversed(ladder), agent, call(), "g") is ladder.pop(0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(binding("a"), binding("b"), id="both for everyone"),
        pytest.param(binding("a", agents={"x"}), binding("b", agents={"x", "y"}), id="an agent"),
        pytest.param(binding("a", groups={"g"}), binding("b", groups={"g"}), id="a group"),
        pytest.param(binding("a", goals={"g"}), binding("b", goals={"g"}), id="a goal"),
        pytest.param(binding("a", paths={"/a/*"}), binding("b", paths={"/*/b"}), id="two globs"),
        pytest.param(binding("a", "*-x.e.com"), binding("b", "y-*.e.com"), id="two host patterns"),
    ],
)
def test_two_secrets_for_one_call_are_refused(
    installation: Installation, one: Binding, other: Binding
) -> None:
    """At `secret set` with both names, and nothing is stored; at the start for old rows."""
    installation.set_secret("a", Secret("value-a"), [one])
    with pytest.raises(BindingError, match=r"a at .* and b at .* overlap: add --agent"):
        installation.set_secret("b", Secret("value-b"), [other])
    assert installation.secrets() == ["a"]
    installation.database.write(lambda connection: bind(connection, other))
    with pytest.raises(BindingError, match="overlap"):
        Governor(installation)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(binding("a"), binding("b", "api.example.com:8443"), id="another port"),
        pytest.param(binding("a", agents={"x"}), binding("b", agents={"y"}), id="other agents"),
        pytest.param(binding("a", groups={"x"}), binding("b", groups={"y"}), id="other groups"),
        pytest.param(binding("a", paths={"/v1"}), binding("b", paths={"/v1/x"}), id="one below"),
        pytest.param(binding("a", paths={"/v1"}), binding("b", paths={"/v2"}), id="apart"),
        pytest.param(binding("a", methods={"GET"}), binding("b", methods={"PUT"}), id="methods"),
        pytest.param(binding("a"), binding("a", "*.example.com"), id="one and the same secret"),
    ],
)
def test_what_can_be_told_apart_is_no_overlap(one: Binding, other: Binding) -> None:
    """Nobody has to say more than is needed."""
    require_distinct([one, other])


def test_an_agent_in_two_groups_gets_neither_key() -> None:
    """Only the call shows it, and then nothing is guessed."""
    keys = [binding("a", groups={"lab"}), binding("b", groups={"ops"})]
    with pytest.raises(BindingError, match=r"a at .* and b at .* fit this call equally well"):
        choose(keys, BOTH, call(), "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"recipe": "sign-it"}, "unknown recipe 'sign-it'", id="an unknown recipe"),
        pytest.param({"service": "nobody"}, "no provider 'nobody'", id="an unknown provider"),
        pytest.param({"authority": parse_authority("x")}, "", id="none: a plain host is fine"),
        pytest.param({"host": "*"}, "two labels at least", id="any host"),
        pytest.param({"host": "API.example.com"}, "canonical", id="another spelling"),
        pytest.param({"paths": frozenset({"v1"})}, "a path begins with", id="no path"),
    ],
)
def test_no_front_door_starts_over_an_unsound_row(
    installation: Installation, change: dict[str, object], said: str
) -> None:
    """I7: a bound host that policy would not cover is found at load, and named."""
    host = str(change.get("host", GENERAL.authority.host))
    given = {"authority": replace(GENERAL.authority, host=host)} | change
    given.pop("host", None)
    bad = replace(GENERAL, **given)  # type: ignore[arg-type]
    installation.database.write(lambda connection: bind(connection, bad))
    if said:
        with pytest.raises(BindingError, match=f"^general at .*{said}"):
            Governor(installation)
    else:
        Governor(installation)


def test_a_removed_agent_leaves_no_key_behind(installation: Installation) -> None:
    """Its name goes, what was its alone ends, and a new agent of that name inherits nothing."""
    for name in ("one", "two"):
        installation.registry.add(Agent(name, trust=Trust.TRUSTED))
    installation.set_secret("own", Secret("value-1"), [binding("own", agents={"one"})])
    installation.set_secret(
        "shared", Secret("value-2"), [binding("shared", "b.example.com", agents={"one", "two"})]
    )
    assert [b.secret for b in installation.registry.remove("one")] == ["own"]
    installation.registry.add(Agent("one"))
    assert installation.bindings.choose(ONE, call(), "") is None
    assert installation.bindings.choose(ONE, call(host="b.example.com"), "") is None
    (left,) = installation.bindings.all()
    assert (left.secret, left.agents) == ("shared", {"two"})


def test_patterns_count_for_masks_and_providers(installation: Installation) -> None:
    """Whatever may go to a host is scrubbed from its answers."""
    azure = replace(binding("k", "*.openai.azure.com"), service="azure-openai")
    installation.set_secret("k", Secret("value-of-azure"), [azure])
    mine = parse_authority("mine.openai.azure.com")
    assert installation.bindings.at(mine) == (azure,)
    assert installation.mask_at(mine)
    provider = Governor(installation).provider_at(mine)
    assert provider is not None
    assert provider.service == "azure-openai"
    assert not installation.bindings.at(parse_authority("a.b.openai.azure.com"))


@pytest.mark.parametrize(
    "text",
    [
        *("*", "*.com", "*.co.uk", "api.*.com.au", "*.github.io", "*.amazonaws.com"),
        *("*.s3.eu-west-1.amazonaws.com", "*.*.example.com", "a**.example.com", "xn--*.e.com"),
        *("*.1.2.3", "example.*", "api.*.com", "*.example.com/x", "*.example.com:0"),
    ],
)
def test_a_pattern_that_could_mean_a_stranger_is_refused(text: str) -> None:
    """One label, two fixed ones behind it, and nowhere where anyone gets a name."""
    with pytest.raises(ValueError, match=r"\*"):
        parse_destination(text)


@pytest.mark.parametrize("text", ["v1", "/v1?x", "/a//b", "/a/../b", "/**", "/%61", "/a b", ""])
def test_a_path_pattern_has_one_reading(text: str) -> None:
    """What a request's path must not hold, a pattern must not hold either."""
    with pytest.raises(ValueError, match=r"path|segment"):
        parse_path_pattern(text)
