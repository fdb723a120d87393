"""`interlock key` and `interlock delegation`: from a key pair to a chain that is taken back."""

import stat
import time
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from interlock.delegation import format_public_key, read_chain
from tests.cli.terminal import Terminal

AGENT, HELPER = "research-agent", "intern-agent"


def test_the_whole_way(lived_in: Terminal, tmp_path: Path) -> None:
    """A person lets an agent act, it hands a part on with its own key, the person takes it back."""
    mine = lived_in.does("key", "new", "user:ada", "--json").object
    assert stat.S_IMODE(Path(mine["file"]).stat().st_mode) == 0o600
    (tmp_path / "away").mkdir(mode=0o700)
    away = str(tmp_path / "away" / "agent.key")
    lived_in.does("key", "new", f"agent:{AGENT}", "--out", away)
    listed = lived_in.does("key", "list", "--json").objects
    assert [key["holder"] for key in listed if key["purpose"] == "delegation"] == [
        'User::"ada"',
        f'Agent::"{AGENT}"',
    ]

    grant = ("delegation", "grant", "--from", "user:ada", "--to", AGENT, "--action", "execute")
    chain = lived_in.does(*grant, "--resource", 'Model::"gpt-*"', "--expires", "1h").out
    narrow = ("--action", "execute/chat", "--goal", "g1", "--key", away, "--json")
    hand_on = ("delegation", "attenuate", "--chain", "-", "--to", HELPER)
    offline = Terminal(tmp_path / "elsewhere")
    handed_on = offline.does(*hand_on, *narrow, stdin=chain.encode()).object
    assert not offline.home.exists()
    assert handed_on["resources"] == ['Model::"gpt-*"']
    assert handed_on["depth"] == 7
    assert handed_on["expires_at"] == pytest.approx(time.time() + 3600, abs=60)

    shown = offline.does("delegation", "show", handed_on["chain"]).out
    assert f'Link 2: Agent::"{AGENT}" lets Agent::"{HELPER}"' in shown
    check = ("delegation", "verify", handed_on["chain"], "--agent", HELPER)
    assert lived_in.does(*check, "--json").object["actors"][-1] == f'Agent::"{HELPER}"'
    assert "valid" in lived_in.does(*check).out
    (tmp_path / "chain").write_text(handed_on["chain"] + "\n")
    file = str(tmp_path / "chain")
    assert offline.does("delegation", "show", file).out == shown
    assert "valid" in lived_in.does("delegation", "verify", file, "--agent", HELPER).out

    root = read_chain(chain.strip())[0].id
    lived_in.does("delegation", "revoke", root, "--reason", "project over")
    assert f"link 1: {root} has been revoked" in lived_in.fails(1, *check)
    said = lived_in.run(*check, "--json")
    assert (said.code, said.object["valid"], said.object["link"]) == (1, False, 1)


def test_a_key_made_elsewhere(lived_in: Terminal) -> None:
    """Only its public half comes here; revoked, it ends what it signed."""
    pair = SigningKey(b"e" * 32)
    public = format_public_key(pair.verify_key).encode()
    add = ("key", "add", "user:eve", "--public", "-", "--json")
    kid = lived_in.does(*add, stdin=public + b"\n").object["kid"]
    assert "registered already" in lived_in.fails(2, *add, stdin=public)
    lived_in.does("key", "revoke", kid, "--reason", "lost")
    (listed,) = (key for key in lived_in.does("key", "list", "--json").objects if key["holder"])
    assert listed["revoked_at"]
    last = lived_in.does("audit", "tail", "-n", "1", "--json").object["body"]
    assert (last["action"], last["reason"]) == ("key.revoke", "lost")


GRANT = ("delegation", "grant", "--from", "user:ada", "--to")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(("key", "new", "ada"), "user:NAME", id="a holder without a kind"),
        pytest.param(("key", "new", "user:../x"), "neither", id="a holder with a path"),
        pytest.param(("key", "new", "agent:nobody"), "'nobody'", id="an unknown agent"),
        pytest.param(("key", "add", "user:ada", "--public", "-"), "k4.public", id="no public key"),
        pytest.param(("key", "revoke", "0f"), "'0f'", id="an unknown key"),
        pytest.param((*GRANT, AGENT), "interlock key new", id="a grant without a key"),
        pytest.param((*GRANT, 'a"b'), "--to", id="a bad agent name"),
        pytest.param((*GRANT, AGENT, "--action", "a b"), "actions", id="a bad action"),
        pytest.param((*GRANT, AGENT, "--expires", "soon"), "duration", id="no duration"),
        pytest.param(("delegation", "show", "none"), "chain: none: No such file", id="no file"),
        pytest.param(("delegation", "show", "v4.none"), "link 1", id="no chain"),
        pytest.param(("delegation", "revoke", "1"), "dlg_", id="no link id"),
    ],
)
def test_refuses(lived_in: Terminal, words: tuple[str, ...], said: str) -> None:
    """Exit 2, one line that says what is wrong, and nothing is written."""
    before = lived_in.snapshot()
    assert said in lived_in.fails(2, *words)
    assert lived_in.snapshot() == before


def test_refuses_what_the_chain_does_not_allow(lived_in: Terminal) -> None:
    """Wider, and without naming the actions of a chain that allows all."""
    for holder in ("user:ada", f"agent:{AGENT}"):
        lived_in.does("key", "new", holder)
    assert "exists already" in lived_in.fails(2, "key", "new", "user:ada")
    chain = lived_in.does(*GRANT, AGENT, "--goal", "g1").out.strip()
    hand_on = ("delegation", "attenuate", "--chain", chain, "--to", HELPER)
    assert "--action" in lived_in.fails(2, *hand_on)
    wider = ("--action", "chat", "--goal", "g2", "--expires", "9h")
    assert "goals, exp" in lived_in.fails(2, *hand_on, *wider)
