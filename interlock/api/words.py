"""What requests may hold, field by field: bounded, printable, and writable as JSON again."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

LONGEST_TEXT = 1024
DEEPEST = 32


def printable(text: str) -> str:
    """Answer a text of one printable line; raises ValueError."""
    if not text.isprintable():
        raise ValueError("use one line of printable text")
    return text


def plain(value: Any) -> Any:
    """Answer a JSON value that can be written again; raises ValueError."""
    _require_shallow(value, DEEPEST)
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a character") from None
    return value


def _require_shallow(value: Any, left: int) -> None:
    if left == 0:
        raise ValueError(f"is nested more than {DEEPEST} deep")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        _require_shallow(one, left - 1)


# The document says `line` of what is one printable line, for which no pattern is short enough.
Text = Annotated[
    str,
    StringConstraints(max_length=LONGEST_TEXT),
    AfterValidator(printable),
    Field(json_schema_extra={"format": "line"}),
]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
ServerName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9@][A-Za-z0-9._/@-]{0,127}$")]
Json = Annotated[dict[str, Any], AfterValidator(plain)]
Texts = Annotated[list[Text], Field(max_length=256)]
Names = Annotated[list[Name], Field(max_length=256)]
Labels = Annotated[dict[Text, Text], Field(max_length=64)]
# A century, as for durations that people type.
Seconds = Annotated[float, Field(gt=0, le=36500 * 86400, allow_inf_nan=False)]


class Body(BaseModel):
    """A request that holds nothing which we do not know."""

    model_config = ConfigDict(extra="forbid")


class Because(Body):
    """A change and why it is made."""

    reason: Text = ""


# Who gives no reason need send no body.
UNSAID = Because()


class Done(BaseModel):
    """A change was made."""

    ok: bool = True
