"""`interlock policy`."""

from pathlib import Path

import pytest

from tests.cli.terminal import Terminal

GOOD = """@id("p1")
@description("Readers read.")
permit (principal, action == Action::"read", resource);"""
CASES = """- name: a reader reads
  principal: a1
  action: read
  resource: Model::"m"
  expect: allow
  policy: p1
- name: and chats
  principal: a1
  action: chat
  resource: Model::"m"
  expect: allow
"""
SMALL_SCHEMA = """entity Agent, Secret;
action chat appliesTo { principal: [Agent], resource: [Secret] };"""


def test_check_lists_what_the_front_door_would_load(terminal: Terminal, tmp_path: Path) -> None:
    """Count, digest, and each policy with its description; the home need not exist."""
    (tmp_path / "a.cedar").write_text(GOOD)
    check = ("policy", "check", str(tmp_path))
    said = terminal.does(*check, "--json").object
    assert said["policies"] == [{"id": "p1", "description": "Readers read."}]
    assert f"1 policies, set {said['digest']}" in terminal.does(*check).out
    assert "trusted-agents-use-models" in terminal.does("policy", "check").out
    assert not terminal.home.exists()


@pytest.mark.parametrize(
    ("files", "word"),
    [
        pytest.param({}, "no *.cedar file", id="an empty folder"),
        pytest.param({"a.cedar": "permit ("}, "a.cedar", id="text that is no policy"),
        pytest.param({"a.cedar": b"\xff"}, "not UTF-8", id="bytes that are no text"),
        pytest.param({"a.cedar": GOOD, "b.cedar": GOOD}, "used twice", id="one id twice"),
        pytest.param(
            {"a.cedar": GOOD.replace('"read"', '"fly"')}, "a.cedar", id="an unknown action"
        ),
        pytest.param({"a.cedar": '@effect("maybe")' + GOOD}, "@effect", id="an unknown effect"),
        pytest.param(
            {
                "a.cedar": GOOD.replace("read", "chat"),
                "schema.cedarschema": SMALL_SCHEMA,
            },
            "does not declare",
            id="a schema that leaves calls out",
        ),
        pytest.param(
            {"a.cedar": GOOD, "intents.toml": "[Reading]"},
            "category 'Reading': description",
            id="a category that says nothing",
        ),
    ],
)
def test_check_refuses(
    terminal: Terminal, tmp_path: Path, files: dict[str, str | bytes], word: str
) -> None:
    """Exit 1, the finding on stdout and in JSON, and one line that counts on stderr."""
    for name, content in files.items():
        raw = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(raw)
    answer = terminal.run("policy", "check", str(tmp_path))
    assert (answer.code, answer.err) == (1, "interlock: 1 error\n")
    assert word in answer.out
    told = terminal.run("policy", "check", str(tmp_path), "--json").object
    assert [finding["severity"] for finding in told["findings"]] == ["error"]
    assert (told["digest"], told["policies"]) == (None, [])


def test_a_finding_is_printed_with_its_line_and_a_caret(terminal: Terminal, tmp_path: Path) -> None:
    """As compilers do; what a terminal could obey is escaped, and the caret stays in place."""
    (tmp_path / "a.cedar").write_text(f'{GOOD}\n@id("\x1b[31m")\tpermit (principal resource);')
    answer = terminal.run("policy", "check", str(tmp_path))
    assert answer.out.splitlines() == [
        f"{tmp_path}/a.cedar:4:32: error: unexpected token `resource` [syntax]",
        '  @id("\\x1b[31m")    permit (principal resource);',
        " " * 39 + "^",
        "",
    ]


def test_warnings_fail_only_when_strict(terminal: Terminal, tmp_path: Path) -> None:
    """They are told in any case, before the policies."""
    (tmp_path / "a.cedar").write_text(GOOD.replace('@description("Readers read.")', ""))
    check = ("policy", "check", str(tmp_path))
    said = terminal.does(*check).out
    assert "a.cedar:3:1: warning: the policy has no @description(...) [no-description]" in said
    assert "1 policies, set" in said
    assert terminal.run(*check, "--strict").err == "interlock: 1 warning\n"
    (finding,) = terminal.does(*check, "--json").object["findings"]
    assert (finding["line"], finding["column"], finding["rule"]) == (3, 1, "no-description")
    assert terminal.does("policy", "check", "--strict").code == 0


@pytest.fixture
def tested(tmp_path: Path) -> Path:
    """A folder with one policy and two cases, of which the second fails."""
    folder = tmp_path / "policies"
    (folder / "cases").mkdir(parents=True)
    (folder / "a.cedar").write_text(GOOD)
    (folder / "cases" / "a.yaml").write_text(CASES)
    return folder


def test_the_shipped_cases_pass(terminal: Terminal) -> None:
    """Without a folder the set in force is tested; the home need not exist."""
    assert "cases, all as expected" in terminal.does("policy", "test").out
    assert not terminal.home.exists()


def test_a_failing_case_is_named_with_both_answers(terminal: Terminal, tested: Path) -> None:
    """Exit 1; the other cases are told too."""
    answer = terminal.run("policy", "test", str(tested))
    assert (answer.code, answer.err) == (1, "interlock: 1 of 2 cases failed\n")
    assert answer.out.splitlines() == [
        "ok    a.yaml: a reader reads",
        "FAILS a.yaml: and chats",
        "      expected allow, got deny by no-policy",
    ]
    passed, failed = terminal.run("policy", "test", str(tested), "--json").objects
    assert passed["passed"]
    assert failed | {"file": ""} == {
        "file": "",
        "case": "and chats",
        "passed": False,
        "expected": "allow",
        "policy": "",
        "got": "deny",
        "reasons": ["no-policy"],
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("- [", "a.yaml:1: ", id="text that is no YAML"),
        pytest.param(CASES.replace("chat\n", "fly\n"), "'and chats': action", id="bad action"),
        pytest.param(None, "no *.yaml file", id="no cases"),
    ],
)
def test_broken_cases_are_bad_input(
    terminal: Terminal, tested: Path, text: str | None, said: str
) -> None:
    """Exit 2 with the place, and no case is told."""
    path = tested / "cases" / "a.yaml"
    if text:
        path.write_text(text)
    else:
        path.unlink()
    assert said in terminal.fails(2, "policy", "test", str(tested))


def test_diff_tells_what_changed(terminal: Terminal, tested: Path, tmp_path: Path) -> None:
    """Exit 0 and silence for the same policies, 1 for others, 2 for a folder without any."""
    after = tmp_path / "after"
    after.mkdir()
    (after / "a.cedar").write_text(GOOD.replace('"read"', '"chat"'))
    diff = ("policy", "diff", str(tested))
    assert terminal.does(*diff, str(tested)).out == ""
    answer = terminal.run(*diff, str(after))
    assert (answer.code, answer.err) == (1, "interlock: policies that differ: 1\n")
    assert answer.out.startswith("changed p1\n")
    assert '  -permit(principal, action == Action::"read", resource);' in answer.out
    change = terminal.run(*diff, str(after), "--json").object
    assert (change["kind"], change["id"]) == ("changed", "p1")
    assert 'Action::"chat"' in change["after"]
    assert "no *.cedar" in terminal.fails(2, *diff, str(tmp_path))
