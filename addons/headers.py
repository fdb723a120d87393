"""mitmproxy's headers, found in an index that is kept until they change; they answer the same."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import chain
from typing import Any

from mitmproxy import http


def take_over() -> None:
    """Have all headers be looked up so."""
    headers: Any = http.Headers
    headers.get_all = values_of
    headers.set_all = put
    headers.__getitem__ = value_of
    headers.__contains__ = holds
    headers.get = get
    headers.pop = pop
    headers.__init__ = begin
    headers.__bytes__ = block_of


def begin(
    headers: http.Headers, fields: Iterable[tuple[bytes, bytes]] = (), **named: str | bytes
) -> None:
    """`Headers()`: the fields, and then what was named."""
    headers.fields = tuple([(name, value) for name, value in fields])
    b"".join(chain.from_iterable(headers.fields))  # raises TypeError for what is not bytes
    for name, value in named.items():
        headers[_raw(name).replace(b"_", b"-")] = value


def of_fields(fields: tuple[tuple[bytes, bytes], ...]) -> http.Headers:
    """Headers of fields that are known to be bytes."""
    made = http.Headers.__new__(http.Headers)
    made.fields = fields
    return made


def block_of(headers: http.Headers) -> bytes:
    """`bytes(headers)`: the lines of HTTP/1 (RFC 9112, 2.1)."""
    lines = [b": ".join(field) for field in headers.fields]
    return b"\r\n".join([*lines, b""])


def copied(headers: http.Headers) -> http.Headers:
    """The same fields, and the index of them: neither is ever changed in its place."""
    made = http.Headers.__new__(http.Headers)
    made.__dict__.update(headers.__dict__)
    return made


def values_of(headers: http.Headers, name: str | bytes) -> list[str]:
    """`Headers.get_all`: every value of a header."""
    values = index_of(headers).get(_key(name))
    return [value.decode("utf-8", "surrogateescape") for value in values] if values else []


def put(headers: http.Headers, name: str | bytes, values: Iterable[str | bytes]) -> None:
    """`Headers.set_all`: have a header with these values, where it stands or else at the end."""
    raw, wanted = [_raw(value) for value in values], _key(name)
    if wanted not in index_of(headers):
        headers.fields = (*headers.fields, *((_raw(name), value) for value in raw))
        return
    kept = []
    for field in headers.fields:
        if field[0].lower() != wanted:
            kept.append(field)
        elif raw:
            kept.append((field[0], raw.pop(0)))
    headers.fields = (*kept, *((_raw(name), value) for value in raw))


def value_of(headers: http.Headers, name: str | bytes) -> str:
    """`Headers.__getitem__`: the values of a header, folded; raises KeyError for none."""
    values = index_of(headers).get(_key(name))
    if not values:
        raise KeyError(name)
    return _folded(values)


def get(headers: http.Headers, name: str | bytes, default: Any = None) -> Any:
    """`Headers.get`: the values of a header, folded."""
    values = index_of(headers).get(_key(name))
    return b", ".join(values).decode("utf-8", "surrogateescape") if values else default


def pop(headers: http.Headers, name: str | bytes, *default: Any) -> Any:
    """`Headers.pop`: take every value of a header off and answer them, folded."""
    wanted = _key(name)
    values = index_of(headers).get(wanted)
    if not values:
        if default:
            return default[0]
        raise KeyError(name)
    headers.fields = tuple([field for field in headers.fields if field[0].lower() != wanted])
    return _folded(values)


def holds(headers: http.Headers, name: object) -> bool:
    """`Headers.__contains__`: whether a header is there."""
    return isinstance(name, (str, bytes)) and _key(name) in index_of(headers)


def index_of(headers: http.Headers) -> Mapping[bytes, list[bytes]]:
    """The values by name in lower case, kept for as long as the fields, a tuple, are the same."""
    fields = headers.fields
    kept: tuple[Any, dict[bytes, list[bytes]]] | None = headers.__dict__.get("_kept")
    if kept is not None and kept[0] is fields:
        return kept[1]
    index = {name.lower(): [value] for name, value in fields}
    if len(index) < len(fields):  # one of them is there more than once
        index.clear()
        for name, value in fields:
            index.setdefault(name.lower(), []).append(value)
    headers.__dict__["_kept"] = (fields, index)
    return index


def _folded(values: list[bytes]) -> str:
    return b", ".join(values).decode("utf-8", "surrogateescape")


def _raw(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text


@lru_cache(1024)
def _key(name: str | bytes) -> bytes:
    return _raw(name).lower()
