"""What the engine can bear, held against a file before the engine sees it.

It recurses: deep nesting overflows its stack and takes the process with it.
"""

from pathlib import Path

from interlock.apdp.place import Fault, fault_at, statements

MOST_NESTED = 64
MOST_OPERATORS = 1_000
MOST_BYTES = 1 << 20
# Each of these puts one more level into what is parsed, even without a bracket.
DEEPER = frozenset(("&&", "||", "+", "-", "*", ".", "[", "<", "if"))


def read_bounded(path: Path) -> str:
    """Read a file of policies or a schema; raises Fault for what the engine must not see."""
    try:
        data = path.read_bytes()
    except OSError as e:
        raise Fault(str(e.strerror)) from None
    if len(data) > MOST_BYTES:
        raise Fault(f"larger than {MOST_BYTES >> 20} MiB")
    if (deep := _too_deep(data)) is not None:
        raise _at(data, deep, f"nested deeper than {MOST_NESTED} brackets")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as e:
        raise _at(data, e.start, "not UTF-8") from None
    for statement in statements(text):
        if sum(token.text in DEEPER for token in statement.tokens) > MOST_OPERATORS:
            raise fault_at(
                text, statement.head, f"more than {MOST_OPERATORS} operators in one policy"
            )
    return text


def _at(data: bytes, offset: int, said: str) -> Fault:
    before = data[:offset].decode("utf-8", "replace")
    return fault_at(before, len(before), said)


def _too_deep(data: bytes) -> int | None:
    """The first bracket that is too deep, counting those in strings and comments too."""
    depth = 0
    for offset, byte in enumerate(data):
        if byte in b"([{":
            depth += 1
            if depth > MOST_NESTED:
                return offset
        elif byte in b")]}":
            depth = max(depth - 1, 0)
    return None
