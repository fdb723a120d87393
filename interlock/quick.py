"""Frozen values that are made quickly: filled while open, and frozen before anyone sees them."""

from dataclasses import field, fields, make_dataclass
from functools import wraps
from typing import Any


def quick[T](kind: type[T]) -> type[T]:
    """Make a dataclass with `frozen` and `slots` five times as quickly, where each call makes some.

    dataclasses sets each field of a frozen value by `object.__setattr__`. Here a value begins as
    one of an open twin with the same slots, of which fields are set in the plain way, and ends as
    what it is. It is frozen then as any other. Nothing may inherit from it.
    """
    made: Any = kind
    spec: list[tuple[str, Any, Any]] = [
        (
            each.name,
            each.type,
            field(default=each.default, default_factory=each.default_factory, kw_only=each.kw_only),
        )
        for each in fields(made)
    ]
    if hasattr(kind, "__post_init__") or not all(each.init for each in fields(made)):
        raise TypeError(f"{kind.__name__} is more than its fields")
    twin: Any = make_dataclass(kind.__name__, spec, slots=True, repr=False, eq=False)
    fill, turn = twin.__init__, object.__setattr__

    @wraps(made.__init__)
    def __init__(value: Any, *given: Any, **named: Any) -> None:
        turn(value, "__class__", twin)
        fill(value, *given, **named)
        value.__class__ = kind

    def __init_subclass__(cls: type) -> None:
        raise TypeError(f"{kind.__name__} has no subclasses")

    made.__init__ = __init__
    made.__init_subclass__ = classmethod(__init_subclass__)
    return kind
