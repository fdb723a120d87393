"""Where in a text something stands: the engine says what is wrong with it, but not where."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cedarpy

# Words, strings, signs of two characters and of one; `odd` is what Cedar has no use for.
# An unclosed string goes on to the end, so that no text is read twice.
_TOKEN = re.compile(
    r"//[^\r\n]*|\s+"
    r'|(?P<token>\?\w+|\w+|"(?:\\.|[^"\\])*+"|[:=!<>]=|::|&&|\|\|'
    r'|[-+*@.,:;<>!=(){}\[\]?]|(?P<odd>"(?:\\.|[^"\\])*+|\S))',
    re.DOTALL,
)
_NAMED = re.compile(r"`([^`]+)`|'([^']+)'|: @?(\w+)$|(\?\w+)")
ENDED = "unexpected end of input"
LARGEST = 2**63 - 1
# Tries to find the place of an error; after them it is that of the whole statement.
TRIES = 200


class Fault(ValueError):
    """One thing that is wrong with a text; `line` and `column` count from 1, 0 is all of it."""

    def __init__(self, said: str, line: int = 0, column: int = 0) -> None:
        super().__init__(said)
        self.said, self.line, self.column = said, line, column

    @property
    def place(self) -> tuple[int, int]:
        """Line and column."""
        return self.line, self.column

    @property
    def after(self) -> str:
        """What follows the name of the file in a message."""
        return f":{self.line}:{self.column}: {self.said}" if self.line else f": {self.said}"


def fault_at(text: str, offset: int, said: str) -> Fault:
    """Say something of the character at an offset."""
    before = text[:offset]
    return Fault(said, before.count("\n") + 1, offset - before.rfind("\n"))


@dataclass(frozen=True, slots=True)
class Token:
    """A word or sign, with its place in the text; `odd` when no policy can hold it."""

    text: str
    start: int
    end: int
    odd: bool


@dataclass(frozen=True, slots=True)
class Statement:
    """A policy, or a declaration of a schema, in the text that it stands in."""

    whole: str
    tokens: tuple[Token, ...]

    @property
    def text(self) -> str:
        """From its first token to its last."""
        return self.whole[self.tokens[0].start : self.tokens[-1].end]

    @property
    def head(self) -> int:
        """The offset of `permit` or `forbid`, or else of the first token."""
        for before, token in zip((None, *self.tokens), self.tokens, strict=False):
            if token.text in ("permit", "forbid") and not (before and before.text == "@"):
                return token.start
        return self.tokens[0].start

    def at(self, offset: int, said: str) -> Fault:
        """Say something of one place in the statement."""
        return fault_at(self.whole, offset, said)

    def named_in(self, said: str) -> list[Token]:
        """The tokens that a message speaks of: what it quotes, or a number that is too large."""
        if "integer" in said:
            return [t for t in self.tokens if t.text.isdecimal() and _too_large(t.text)]
        for groups in _NAMED.findall(said):
            words = [token.text for token in tokens_of("".join(groups))]
            if found := self._runs(words):
                return found
        return []

    def about(self, said: str) -> Fault:
        """Say something of the place that the words themselves name, or else of the head."""
        named = [] if "missing" in said else self.named_in(said)
        twice = len(named) > 1 and ("twice" in said or "duplicate" in said)
        return self.at(named[twice].start if named else self.head, said)

    def _runs(self, words: list[str]) -> list[Token]:
        """Where words stand one after another."""
        texts = [token.text for token in self.tokens]
        size = len(words)
        starts = (i for i, text in enumerate(texts) if text == words[0]) if words else ()
        return [self.tokens[i] for i in starts if texts[i : i + size] == words]


def tokens_of(text: str) -> Iterator[Token]:
    """Read a text token by token, without its comments."""
    for found in _TOKEN.finditer(text):
        if token := found["token"]:
            yield Token(token, found.start(), found.end(), bool(found["odd"]))


def statements(text: str) -> tuple[Statement, ...]:
    """Split a text after each `;`, which ends policies and declarations and nothing else."""
    found: list[Statement] = []
    tokens: list[Token] = []
    for token in tokens_of(text):
        tokens.append(token)
        if token.text == ";":
            found.append(Statement(text, tuple(tokens)))
            tokens = []
    if tokens:
        found.append(Statement(text, tuple(tokens)))
    return tuple(found)


def syntax_fault(statement: Statement) -> Fault | None:
    """Say what is wrong with one policy and where, if the engine cannot read it."""
    return _fault(statement, cedarpy.policies_to_json_str)


def syntax_faults(text: str) -> Iterator[Fault]:
    """Say what is wrong with each policy that the engine cannot read."""
    for statement in statements(text):
        if fault := syntax_fault(statement):
            yield fault


def schema_fault(text: str) -> Fault | None:
    """Say what is wrong with a schema and where, if the engine cannot read it."""
    whole = Statement(text, tuple(tokens_of(text)))
    if not whole.tokens:
        return None
    return _fault(whole, cedarpy.Schema.from_str)


def policy_fault(text: str, engine_id: str, said: str) -> Fault:
    """Say something of the policy that the engine numbered `policy0`, `policy1`, ..."""
    number = engine_id.removeprefix("policy")
    found = statements(text)
    if number.isdecimal() and int(number) < len(found):
        return found[int(number)].about(said)
    return Fault(said)


def _fault(statement: Statement, parse: Callable[[str], object]) -> Fault | None:
    said = _complaint(parse, statement.text)
    if not said:
        return None
    if said == ENDED:
        return statement.at(statement.tokens[-1].end, said)
    if said == "invalid token":
        odd = next((token for token in statement.tokens if token.odd), None)
        return statement.at(odd.start if odd else statement.head, said)
    if said.startswith("unexpected token"):
        return statement.at(_unexpected(statement, parse, said), said)
    return statement.about(said)


def _unexpected(statement: Statement, parse: Callable[[str], object], said: str) -> int:
    """Where the unexpected token stands: what comes before it is only unfinished.

    The parser goes on after some mistakes, and may then complain of the end only; so it is also
    asked about the text with a `;` behind it, which an unfinished text does not expect.
    """
    start = statement.tokens[0].start
    for token in statement.named_in(said)[:TRIES]:
        text = statement.whole[start : token.end]
        if _complaint(parse, text) == said or _complaint(parse, f"{text} ;") == said:
            return token.start
    return statement.head


def _complaint(parse: Callable[[str], object], text: str) -> str:
    try:
        parse(text)
    except ValueError as e:
        return str(e).strip().splitlines()[0].removeprefix("error parsing schema: ")
    return ""


def _too_large(digits: str) -> bool:
    return len(digits) > len(str(LARGEST)) or int(digits) > LARGEST
