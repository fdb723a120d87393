"""The published matrix: each encoding is tried as other software writes it."""

import base64
import html
import json
import quopri
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import Scrubber, forms_of

KEY = "sk-live_0123456789abcdefXYZ"
HARD = "p/a+s=s w<o>r&d:'é\"\\~1234"
JINJA = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&#39;", '"': "&#34;"})
Encode = Callable[[str], bytes]


def spell(text: str, chars: str, template: str) -> bytes:
    """Write a JSON string as encoders do that escape some characters without need."""
    literal = json.dumps(text)[1:-1]
    return "".join(template.format(ord(c)) if c in chars else c for c in literal).encode()


ENCODINGS = {
    "raw": str.encode,
    "hex": lambda text: text.encode().hex().encode(),
    "hex in capitals": lambda text: text.encode().hex().upper().encode(),
    "hex with colons": lambda text: text.encode().hex(":").encode(),
    "hex with colons in capitals": lambda text: text.encode().hex(":").upper().encode(),
    "percent": lambda text: quote(text, safe="").encode(),
    "percent in a path": lambda text: quote(text).encode(),
    "percent in a form": lambda text: quote_plus(text).encode(),
    "percent by encodeURIComponent": lambda text: quote(text, safe="!'()*").encode(),
    "percent in lower case": lambda text: re.sub(
        "%..", lambda escape: escape[0].lower(), quote(text)
    ).encode(),
    "percent of every byte": lambda text: b"".join(b"%%%02X" % byte for byte in text.encode()),
    "percent of every byte in lower case": lambda text: ("%" + text.encode().hex("%")).encode(),
    "JSON": lambda text: json.dumps(text)[1:-1].encode(),
    "JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1].encode(),
    "JSON with escaped slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/").encode(),
    "JSON by Go": lambda text: spell(text, "<>&", "\\u{:04x}"),
    "JSON by Gson": lambda text: spell(text, "<>&='", "\\u{:04x}"),
    "JSON by .NET": lambda text: spell(text, "<>&'+`", "\\u{:04X}"),
    "JSON of escapes": lambda text: "".join(f"\\u{ord(c):04x}" for c in text).encode(),
    "JSON of escapes in capitals": lambda text: "".join(f"\\u{ord(c):04X}" for c in text).encode(),
    "HTML": lambda text: html.escape(text).encode(),
    "HTML without quotes": lambda text: html.escape(text, quote=False).encode(),
    "HTML by Jinja": lambda text: text.translate(JINJA).encode(),
    "HTML decimal": lambda text: "".join(f"&#{ord(c)};" for c in text).encode(),
    "HTML hexadecimal": lambda text: "".join(f"&#x{ord(c):x};" for c in text).encode(),
    "HTML hexadecimal in capitals": lambda text: "".join(f"&#x{ord(c):X};" for c in text).encode(),
    "UTF-16LE": lambda text: text.encode("utf-16-le"),
    "UTF-16BE": lambda text: text.encode("utf-16-be"),
    "UTF-32LE": lambda text: text.encode("utf-32-le"),
    "UTF-32BE": lambda text: text.encode("utf-32-be"),
    "quoted-printable": lambda text: quopri.encodestring(text.encode()),
}


@pytest.mark.parametrize("text", [KEY, HARD])
@pytest.mark.parametrize("encode", [pytest.param(e, id=name) for name, e in ENCODINGS.items()])
def test_knows_the_encoding(encode: Encode, text: str) -> None:
    """What other software makes of the secret is masked to the last byte."""
    encoded = encode(text)
    scrubber = Scrubber(forms_of(text.encode()))
    assert (
        scrubber.feed(b"[" + encoded + b"]") + scrubber.flush() == b"[" + b"*" * len(encoded) + b"]"
    )


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@given(
    before=st.binary(max_size=9),
    after=st.binary(max_size=9),
    value=st.binary(min_size=9, max_size=30),
)
def test_knows_base64_at_every_alignment(
    encode: Callable[[bytes], bytes], before: bytes, after: bytes, value: bytes
) -> None:
    """Wherever the secret lies in what was encoded, at most a character at either end is left."""
    scrubber = Scrubber(forms_of(value))
    shown = scrubber.feed(encode(before + value + after)) + scrubber.flush()
    assert shown.count(b"*") >= len(value) * 8 // 6 - 1
    assert scrubber.count >= 1


def test_a_long_value_is_quoted_in_one_piece() -> None:
    """The soft line breaks of quoted-printable are not part of the form."""
    assert b"a=3D" * 60 in forms_of(b"a=" * 60)


@given(st.one_of(st.binary(min_size=1, max_size=40), st.just(KEY.encode())))
def test_every_value_has_forms(value: bytes) -> None:
    """The value itself comes first, none comes twice, and a derived one has 8 bytes at least."""
    forms = forms_of(value)
    assert forms[0] == value
    assert len(set(forms)) == len(forms)
    assert all(len(form) >= 8 for form in forms[1:])


def test_an_innocent_text_stays() -> None:
    """A short secret does not tear holes into what merely shares its letters."""
    text = b"the abbey of Cabba, 6162 and YWI= and %61"
    scrubber = Scrubber(forms_of(b"abab"))
    assert scrubber.feed(text) + scrubber.flush() == text


def test_a_plain_key_has_few_forms() -> None:
    """Scanning costs time per form, so forms that are the same are kept once."""
    assert len(forms_of(KEY.encode())) <= 20
