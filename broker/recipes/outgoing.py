"""A request as it is about to leave: the value that recipes put a credential on."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Self
from urllib.parse import unquote_plus

from broker.quick import quick

type Field = tuple[bytes, bytes]

# Some servers take `;` for a separator too, so a parameter behind one counts as a parameter.
_SEPARATOR = re.compile("([&;])")


@quick
@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request in the form that the upstream will see; its repr shows nothing of a credential.

    `host` is Host or `:authority`, `path` is path and query, both as on the wire.
    """

    method: str
    host: str
    path: str = field(repr=False)
    headers: tuple[Field, ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)

    def values(self, name: str) -> list[bytes]:
        """The values of a header, in any case of its name and with `_` for `-`."""
        return [value for key, value in self.headers if _is(key, name)]

    def without(self, *names: str) -> Self:
        """Remove every copy of some headers."""
        left = self._fields_without(*names)
        return self if len(left) == len(self.headers) else self._with(left)

    def with_header(self, name: str, value: bytes) -> Self:
        """Set a header in place of every copy of it."""
        left = self._fields_without(name)
        return self._with((*left, (name.lower().encode(), value)))

    def _with(self, headers: tuple[Field, ...]) -> Self:
        """As `replace` does, which takes three times as long; each call comes by here."""
        return type(self)(self.method, self.host, self.path, headers, self.body)

    def _fields_without(self, *names: str) -> tuple[Field, ...]:
        gone = {_spelled(name.encode()) for name in names}
        # As `_spelled` does, for every header that a call has.
        return tuple([f for f in self.headers if f[0].lower().replace(b"_", b"-") not in gone])

    @property
    def parameters(self) -> tuple[str, ...]:
        """The query, cut into its parameters, each as it stands; separators are left out."""
        return tuple(_SEPARATOR.split(self.path.partition("?")[2])[::2])

    def without_parameters(self, names: Iterable[str]) -> Self:
        """Remove every copy of some query parameters, however their names are spelled."""
        unwanted = {name.casefold() for name in names}
        path, mark, query = self.path.partition("?")
        first, *rest = _SEPARATOR.split(query)
        pairs = [("", first), *zip(rest[::2], rest[1::2], strict=True)]
        kept = "".join(cut + p for cut, p in pairs if parameter_name(p).casefold() not in unwanted)
        kept = kept.removeprefix("&").removeprefix(";")
        return replace(self, path=f"{path}{mark}{kept}" if kept else path)

    def with_parameter(self, name: str, value: str) -> Self:
        """Set a query parameter, both parts encoded already, in place of every copy of it."""
        bare = self.without_parameters([unquote_plus(name)])
        cut = "&" if "?" in bare.path else "?"
        return replace(bare, path=f"{bare.path}{cut}{name}={value}")


def parameter_name(parameter: str) -> str:
    """The name of a query parameter, decoded; `key[]=x` counts as `key`, as in PHP and Rails."""
    return unquote_plus(parameter.partition("=")[0]).partition("[")[0].strip()


def _is(key: bytes, name: str) -> bool:
    return _spelled(key) == _spelled(name.encode())


def _spelled(name: bytes) -> bytes:
    """Names that a server may take for one come out the same; CGI and WSGI drop the difference."""
    return name.lower().replace(b"_", b"-")
