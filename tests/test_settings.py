"""Settings: command line, then environment, then interlock.toml, then default."""

from pathlib import Path

import pytest

from interlock.errors import SettingsError
from interlock.model import Mode
from interlock.settings import Settings, parse_allow_private


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERLOCK_HOME", str(tmp_path))
    monkeypatch.delenv("INTERLOCK_MODE", raising=False)


def test_each_source_overrides_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of the house."""
    assert Settings.load().mode is Mode.OBSERVE
    (tmp_path / "interlock.toml").write_text('mode = "enforce"')
    assert Settings.load().mode is Mode.ENFORCE
    monkeypatch.setenv("INTERLOCK_MODE", "observe")
    assert Settings.load().mode is Mode.OBSERVE
    assert Settings.load(mode="enforce").mode is Mode.ENFORCE
    assert Settings.load(mode=None).mode is Mode.OBSERVE


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        pytest.param('mode = "strict"', "mode: Input", id="an unknown mode"),
        pytest.param(
            'moed = "observe"', "moed: unknown setting; did you mean mode?", id="a slip of a key"
        ),
        pytest.param("zzz = 1", "zzz: unknown setting", id="an unknown setting"),
        pytest.param("mode = ", "Invalid value", id="no TOML"),
        pytest.param('allow_private = "1.2.3.4.5"', "allow_private: ", id="no address"),
    ],
)
def test_a_bad_value_is_named_in_one_line(tmp_path: Path, toml: str, said: str) -> None:
    """File and setting, as they were written, and what is wrong."""
    file = tmp_path / "interlock.toml"
    file.write_text(toml)
    with pytest.raises(SettingsError) as refused:
        Settings.load()
    assert str(refused.value).startswith(f"{file}: {said}")
    assert "\n" not in str(refused.value)


def test_a_bad_value_is_named_as_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option, else the variable: where one has to look to mend it."""
    (tmp_path / "interlock.toml").write_text('mode = "enforce"')
    monkeypatch.setenv("INTERLOCK_MODE", "strict")
    with pytest.raises(SettingsError, match=r"^INTERLOCK_MODE: "):
        Settings.load()
    with pytest.raises(SettingsError, match=r"^interlock_mode: "):
        Settings.load(mode="lax")


def test_the_allow_list_knows_names_addresses_and_networks() -> None:
    """Spaces and case do not matter."""
    names, networks = parse_allow_private(" Intern.Example. ,10.0.0.0/8, ::1")
    assert names == {"intern.example"}
    assert [str(network) for network in networks] == ["10.0.0.0/8", "::1/128"]
