"""`interlock policy`."""

from pathlib import Path

import pytest

from tests.cli.terminal import Terminal

GOOD = """@id("p1")
@description("Readers read.")
permit (principal, action == Action::"read", resource);"""
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
    ],
)
def test_check_refuses(
    terminal: Terminal, tmp_path: Path, files: dict[str, str | bytes], word: str
) -> None:
    """Exit 1 with the line that the front door would log."""
    for name, content in files.items():
        raw = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(raw)
    assert word in terminal.fails(1, "policy", "check", str(tmp_path))
