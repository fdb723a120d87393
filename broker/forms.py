"""The spellings of a secret that scrubbing knows: this list is the published matrix."""

import base64
import html
import json
import re
from binascii import b2a_qp
from collections.abc import Iterable, Iterator
from urllib.parse import quote

PLAIN = "plain"
MIN_FORM_BYTES = 8  # a shorter derived form would mask innocent text

_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_PERCENT_KEEPS = ("", "/", "!'()*")  # RFC 3986, path encoders, encodeURIComponent
# What JSON encoders escape without need: PHP the slash, Go and Gson and .NET sets of their own.
_JSON_DIALECTS = (
    {"/": "\\/"},
    *(
        {char: template.format(ord(char)) for char in chars}
        for chars in ("<>&", "<>&='", "<>&'+`")
        for template in ("\\u{:04x}", "\\u{:04X}")
    ),
)
_JSON_TABLES = [str.maketrans(dialect) for dialect in _JSON_DIALECTS]


def forms_of(value: bytes) -> tuple[bytes, ...]:
    """Return `value` and its encodings, each of 8 bytes or more."""
    return tuple(spellings_of(value))


def spellings_of(value: bytes) -> dict[bytes, str]:
    """Return the forms of a value, each with the name of its coding; `plain` is the value itself.

    Base64 (standard and URL alphabet, at all three alignments), hexadecimal (with colons too),
    percent-encoding, quoted-printable, JSON strings, HTML entities, UTF-16 and UTF-32, each in both
    cases of hex digits.
    A line wrapped in the middle of an encoding hides it, and so does any transform not named here.
    """
    text = _text_of(value)
    codings: dict[str, Iterable[bytes]] = {
        "base64": _base64(value),
        "hex": _hex(value),
        "percent": _percent(value),
        "quoted-printable": [_quoted_printable(value)],
        "json": _json(text),
        "html": _html(text),
        "utf-16": [text.encode("utf-16-le"), text.encode("utf-16-be")],
        "utf-32": [text.encode("utf-32-le"), text.encode("utf-32-be")],
    }
    named = {value: PLAIN}
    for name, forms in codings.items():
        for form in forms:
            if len(form) >= MIN_FORM_BYTES:
                named.setdefault(form, name)
    return named


def _text_of(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _both_cases(encoded: bytes) -> tuple[bytes, bytes]:
    return encoded.lower(), encoded.upper()


def _hex(value: bytes) -> Iterator[bytes]:
    yield from _both_cases(value.hex().encode())
    yield from _both_cases(value.hex(":").encode())


def _base64(value: bytes) -> Iterator[bytes]:
    """Yield the middle of each alignment: the characters that no neighbouring byte can change."""
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + value)
        middle = encoded[-(-8 * shift // 6) : 8 * (shift + len(value)) // 6]
        yield middle
        yield middle.translate(_URL_SAFE)


def _percent(value: bytes) -> Iterator[bytes]:
    for kept in _PERCENT_KEEPS:
        encoded = quote(value, safe=kept).encode()
        yield encoded
        yield re.sub(rb"%..", lambda escape: escape[0].lower(), encoded)
        yield encoded.replace(b"%20", b"+")
    yield from _both_cases(b"%" + value.hex("%").encode())


def _quoted_printable(value: bytes) -> bytes:
    return b2a_qp(value, quotetabs=False, istext=False).replace(b"=\n", b"")  # soft line breaks


def _json(text: str) -> Iterator[bytes]:
    """Yield string literals without their quotes: plain, ASCII, by dialect, and all escapes."""
    literal = json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1].encode()
    yield literal.encode()
    yield from (literal.translate(table).encode() for table in _JSON_TABLES)
    units = text.encode("utf-16-be")
    for digits in (units.hex("u", 2), units.hex("u", 2).upper().replace("U", "u")):
        yield ("\\u" + digits.replace("u", "\\u")).encode()


def _html(text: str) -> Iterator[bytes]:
    escaped = html.escape(text)
    yield escaped.encode()
    yield escaped.replace("&#x27;", "&#39;").replace("&quot;", "&#34;").encode()
    yield html.escape(text, quote=False).encode()
    codes = tuple(map(ord, text))
    for reference in ("&#%d;", "&#x%x;", "&#x%X;"):
        yield (reference * len(codes) % codes).encode()
