"""Intents: what an agent says that it is doing is held against what it does."""

from pathlib import Path

import pytest

from interlock.apdp import load_policies
from interlock.apdp.intents import Finding, Intents, load_intents, parse_intents
from interlock.apdp.policies import shipped
from interlock.errors import PolicyError

type Call = tuple[str, frozenset[str], str]

ACTIONS = frozenset({"read", "write", "chat", "http_get", "http_post"})
SITE = 'Endpoint::"example.com"'
CHAT = ("chat", frozenset({"execute"}), 'Model::"gpt-4o"')
UPLOAD = ("upload_file", frozenset({"write"}), 'Service::"openai"')
GET = ("http_get", frozenset({"read"}), SITE)
POST = ("http_post", frozenset({"write"}), SITE)
DELETE = ("http_delete", frozenset({"delete"}), SITE)
PUSH = ("http_post", frozenset({"write"}), 'Endpoint::"api.github.com"')
ODD = ("chat", frozenset({"execute"}), 'Odd::"a\nb"')
MINE = """
[Reading]
description = "Read."
actions = ["read", "chat"]
resources = ['Endpoint::"*.example.com"', 'Model::"gpt-*"']
keywords = ["read", "look up", "look"]

[Writing]
description = "Write."
actions = ["write"]
keywords = ["write", "read"]
on_mismatch = "flag"

[Paying]
description = "Pay."
actions = ["write"]
keywords = ["pay"]
justification = "mandatory"
"""


@pytest.fixture(scope="module")
def intents() -> Intents:
    """The shipped categories."""
    return load_intents(shipped(), load_policies(shipped()).action_names)


@pytest.fixture(scope="module")
def mine() -> Intents:
    """Three small categories."""
    return parse_intents("intents.toml", MINE, ACTIONS)


def test_the_shipped_categories_are_those_that_were_promised(intents: Intents) -> None:
    """Each has words by which it is recognised, and a description."""
    assert list(intents.categories) == [
        "DataAnalysis",
        "Research",
        "CodeGeneration",
        "Communication",
        "Automation",
        "FinancialOperation",
        "Administration",
    ]
    assert all(c.keywords and c.description for c in intents.categories.values())


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("Analyse last quarter's sales figures", "DataAnalysis"),
        ("analyze_sales", "DataAnalysis"),
        ("find papers on sleep and summarise them", "Research"),
        ("Refactor the parser and write unit tests.", "CodeGeneration"),
        ("reply to Ada's e-mail", "Communication"),
        ("nightly backup", "Automation"),
        ("refund order 17", "FinancialOperation"),
        ("DELETE the accounts of people who left", "Administration"),
        ("do what must be done", ""),
        ("", ""),
    ],
)
def test_free_text_is_classified_by_its_words(intents: Intents, text: str, category: str) -> None:
    """Case, punctuation and underscores do not matter; without a keyword there is no category."""
    assert intents.classify(text) == category


@pytest.mark.parametrize(
    ("text", "category"),
    [
        pytest.param("read", "Reading", id="on a draw the first in the file"),
        pytest.param("read, then write", "Writing", id="more hits win"),
        pytest.param("look up and pay, pay", "Paying", id="a phrase counts once"),
        pytest.param("spread the lookup table", "", id="only whole words count"),
    ],
)
def test_most_hits_win(mine: Intents, text: str, category: str) -> None:
    """The same words always give the same category."""
    assert mine.classify(text) == category


def test_other_categories_read_a_text_anew(intents: Intents, mine: Intents) -> None:
    """What it meant by one file, it need not mean by another; nor does how often it is asked."""
    for text in ("pay the invoice", "pay the invoice " + "x" * 2000):
        found = [each.classify(text) for each in (mine, intents, mine, intents)]
        assert found == ["Paying", "FinancialOperation"] * 2


@pytest.mark.parametrize(
    ("text", "category", "call", "found"),
    [
        pytest.param("", "Research", CHAT, "Research", id="an action by its group"),
        pytest.param("", "DataAnalysis", UPLOAD, "DataAnalysis", id="an action by its name"),
        pytest.param("", "CodeGeneration", PUSH, "CodeGeneration", id="a resource of the list"),
        pytest.param("survey papers", "", CHAT, "Research", id="words alone"),
        pytest.param(
            "refund the payment", "FinancialOperation", POST, "FinancialOperation", id="both"
        ),
        pytest.param("one refund", "Research", CHAT, "Research", id="one stray word"),
    ],
)
def test_what_fits_matches(
    intents: Intents, text: str, category: str, call: Call, found: str
) -> None:
    """The declared category counts, else the one that the words read like."""
    assert intents.judge(text, category, *call) == Finding(found, matches=True)


@pytest.mark.parametrize("text", ["", " ", "do what must be done"])
def test_what_says_nothing_is_left_to_the_policies(intents: Intents, text: str) -> None:
    """It matches nothing, and it is not denied."""
    assert intents.judge(text, "", *DELETE) == Finding()


@pytest.mark.parametrize(
    ("text", "category", "call", "found", "denial"),
    [
        pytest.param("", "Gardening", CHAT, "", "'Gardening' is unknown", id="unknown"),
        pytest.param("", "Research", POST, "Research", "action http_post", id="action"),
        pytest.param("", "CodeGeneration", GET, "CodeGeneration", SITE, id="resource"),
        pytest.param("survey papers", "", DELETE, "Research", "action http_delete", id="by words"),
        pytest.param(" ", "Administration", DELETE, "Administration", "in words", id="unexplained"),
        pytest.param("refund a payment", "Research", CHAT, "Research", "reads like", id="both"),
        pytest.param("", "CodeGeneration", ODD, "CodeGeneration", "a\\nb", id="a line break"),
    ],
)
def test_what_does_not_fit_is_denied_in_one_line(
    intents: Intents, text: str, category: str, call: Call, found: str, denial: str
) -> None:
    """And never matches."""
    finding = intents.judge(text, category, *call)
    assert (finding.category, finding.matches, finding.flagged) == (found, False, "")
    assert denial in finding.denial
    assert finding.denial.isprintable()


def test_a_category_may_flag_instead_of_denying(mine: Intents) -> None:
    """The mismatch is told, and intent_matches is false."""
    finding = mine.judge("", "Writing", *GET)
    assert finding == Finding("Writing", flagged="Writing does not cover the action http_get")


@pytest.mark.parametrize(
    ("resource", "fits"),
    [
        ('Endpoint::"api.example.com"', True),
        ('Endpoint::"example.com"', False),
        ('Endpoint::"api.example.com.evil.net"', False),
        ('Model::"gpt-4o"', True),
        ('Model::"x\\" Model::\\"gpt-4o"', False),
        ('Tool::"gpt-4o"', False),
    ],
)
def test_resources_are_patterns_over_the_whole_entity(
    mine: Intents, resource: str, fits: bool
) -> None:
    """No part of a name can pass for another one."""
    assert mine.judge("", "Reading", *GET[:2], resource).matches is fits


def test_a_folder_without_categories_takes_the_shipped_ones(
    tmp_path: Path, intents: Intents
) -> None:
    """And one with a file of its own has only those."""
    actions = load_policies(shipped()).action_names
    assert list(load_intents(tmp_path, actions).categories) == list(intents.categories)
    (tmp_path / "intents.toml").write_text(MINE)
    assert list(load_intents(tmp_path, actions).categories) == ["Reading", "Writing", "Paying"]
    (tmp_path / "intents.toml").write_bytes(b"\xff")
    with pytest.raises(PolicyError, match=r"intents\.toml: not UTF-8"):
        load_intents(tmp_path, actions)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("[A", "intents.toml: ", id="text that is no TOML"),
        pytest.param("a = " + "[" * 5000, "intents.toml: ", id="endless nesting"),
        pytest.param("a = " + "1" * 5000, "intents.toml: ", id="an endless number"),
        pytest.param("", "no category", id="an empty file"),
        pytest.param("A = 1", "'A': is not a table", id="a category that is a number"),
        pytest.param("['a b']", "'a b': a name", id="a name with a blank"),
        pytest.param("[A]\nactions = ['read']", "'A': description: is missing", id="missing"),
        pytest.param("[A]\nactoins = []", "'A': actoins: unknown field", id="a misspelt field"),
        pytest.param("+description = 1", "description: use text", id="a number for text"),
        pytest.param("+actions = 'read'", "actions: use a list", id="text for a list"),
        pytest.param("+actions = []", "actions: use a list", id="no action at all"),
        pytest.param("+actions = ['fly']", "actions: 'fly' is no action", id="unknown action"),
        pytest.param("+resources = ['gpt-4o']", "resources: 'gpt-4o' is no pattern", id="glob"),
        pytest.param("+resources = [1]", "resources: use text", id="a number for a glob"),
        pytest.param("+keywords = ['Read']", "keywords: 'Read'", id="a capital"),
        pytest.param("+keywords = ['']", "keywords: use text", id="an empty keyword"),
        pytest.param("+justification = 'yes'", "justification: use 'optional'", id="neither"),
        pytest.param("+on_mismatch = true", "on_mismatch: use 'deny'", id="a bool for a word"),
    ],
)
def test_a_broken_file_is_refused_and_named(text: str, said: str) -> None:
    """One line with file, category and field."""
    fields = {"description": "'Read.'", "actions": "['read']"}
    if text.startswith("+"):
        name, _, value = text[1:].partition(" = ")
        text = "[A]\n" + "\n".join(f"{k} = {v}" for k, v in (fields | {name: value}).items())
    with pytest.raises(PolicyError) as refused:
        parse_intents("intents.toml", text, ACTIONS)
    assert said in str(refused.value)
    assert str(refused.value).startswith("intents.toml: ")
    assert "\n" not in str(refused.value)
