"""A quick value is the frozen value that it would be without."""

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from broker.quick import quick


@dataclass(frozen=True, slots=True)
class Plain:
    """As dataclasses makes it."""

    name: str
    size: int = 3
    said: dict[str, str] = field(default_factory=dict)
    hidden: str = field(default="", repr=False, kw_only=True)


@quick
@dataclass(frozen=True, slots=True)
class Quick:
    """The same, quickly."""

    name: str
    size: int = 3
    said: dict[str, str] = field(default_factory=dict)
    hidden: str = field(default="", repr=False, kw_only=True)


def test_it_is_what_it_would_be() -> None:
    """Its fields, defaults, text, equality and copies."""
    one, other = Quick("a", hidden="x"), Plain("a", hidden="x")
    assert repr(one) == repr(other).replace("Plain", "Quick")
    assert (one.name, one.size, one.said, one.hidden) == ("a", 3, {}, "x")
    assert one == Quick(name="a", hidden="x") != Quick("b", hidden="x")
    assert Quick("a").said is not Quick("a").said
    assert replace(one, size=4) == Quick("a", 4, hidden="x")
    for made in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):  # noqa: S301
        assert (type(made), made) == (Quick, one)
    assert inspect.signature(Quick) == inspect.signature(Plain)


def test_it_is_frozen() -> None:
    """Nothing of it can be set, removed or added, nor can it be made anything else."""
    one = Quick("a")
    for name in ("name", "other", "__class__"):
        with pytest.raises((FrozenInstanceError, TypeError)):
            setattr(one, name, Plain)
    with pytest.raises(FrozenInstanceError):
        del one.name
    with pytest.raises(TypeError):
        Quick()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Quick("a", nothing=1)  # type: ignore[call-arg]


def test_what_is_more_than_its_fields_is_refused() -> None:
    """What would be lost in the making, and what would be taken for its base."""
    with pytest.raises(TypeError):

        class Below(Quick):
            """None."""

    with pytest.raises(TypeError):

        @quick
        @dataclass(frozen=True, slots=True)
        class Worked:
            """One of its fields is worked out."""

            name: str = field(init=False)


def test_it_looks_at_what_it_was_given() -> None:
    """Frozen already, as it does without."""

    @quick
    @dataclass(frozen=True, slots=True)
    class Looked:
        """No name is empty."""

        name: str

        def __post_init__(self) -> None:
            """Look."""
            if not self.name:
                raise ValueError("no name")

    assert Looked("a").name == "a"
    with pytest.raises(ValueError, match="no name"):
        Looked("")
