"""docs/scrubbing.md says what is masked where, in which coding; this writes it, and checks it.

`python tests/door/test_scrubbing_page.py > docs/scrubbing.md` writes the page anew.
"""

import base64
import codecs
import gzip
import html
import json
import quopri
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from mitmproxy import http
from mitmproxy.proxy.layers.http._events import (
    HttpEvent,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseTrailers,
)
from wsproto.frame_protocol import FrameProtocol

from addons.conversation import Conversation
from addons.door import Account
from addons.passage import Passage, stages_for
from broker import Mask
from interlock.settings import Limits
from interlock.steps import Steps

STARS = b"*" * 20
PAGE = Path(__file__).parents[2] / "docs" / "scrubbing.md"
# What every form writes in its own way: letters, and what JSON, HTML, URLs and MIME escape.
KEY = 'sk-test/4f9a+8b7c="0a1b2c3d&é~'
SECRET = KEY.encode()

type Form = Callable[[str], bytes]


def escaped(template: str, text: str) -> bytes:
    """Every character by its number."""
    return "".join(template.format(ord(char)) for char in text).encode()


def aligned(shift: int, alphabet: Callable[[bytes], bytes], text: str) -> bytes:
    """Base64 of a text that the secret begins somewhere in."""
    return alphabet(b"_" * shift + text.encode() + b"_" * (3 - shift))


OFF = ("aligned", "one byte off", "two bytes off")
FORMS: dict[str, Form] = {
    "as it is": str.encode,
    "behind a scheme: `Bearer KEY`": lambda key: b"Bearer " + key.encode(),
    "`Basic` with a user: base64 of `user:KEY`": lambda key: (
        b"Basic " + base64.b64encode(b"user:" + key.encode())
    ),
    **{
        f"base64, {name} alphabet, {OFF[shift]}": partial(aligned, shift, alphabet)
        for name, alphabet in (
            ("standard", base64.b64encode),
            ("URL", base64.urlsafe_b64encode),
        )
        for shift in range(3)
    },
    "hex, lower case": lambda key: key.encode().hex().encode(),
    "hex, upper case": lambda key: key.encode().hex().upper().encode(),
    "hex with colons, lower case": lambda key: key.encode().hex(":").encode(),
    "hex with colons, upper case": lambda key: key.encode().hex(":").upper().encode(),
    "percent-encoded": lambda key: quote(key, safe="").encode(),
    "percent-encoded, lower case digits": lambda key: _lower(quote(key, safe="")),
    "percent-encoded throughout": lambda key: ("%" + key.encode().hex("%")).encode(),
    "percent-encoded throughout, upper case": lambda key: (
        "%" + key.encode().hex("%").upper()
    ).encode(),
    "JSON string": lambda key: json.dumps(key)[1:-1].encode(),
    "JSON string, not ASCII only": lambda key: json.dumps(key, ensure_ascii=False)[1:-1].encode(),
    "JSON `\\u` throughout, lower case": partial(escaped, "\\u{:04x}"),
    "JSON `\\u` throughout, upper case": partial(escaped, "\\u{:04X}"),
    "HTML, named entities": lambda key: html.escape(key).encode(),
    "HTML, decimal entities": partial(escaped, "&#{};"),
    "HTML, hexadecimal entities, lower case": partial(escaped, "&#x{:x};"),
    "HTML, hexadecimal entities, upper case": partial(escaped, "&#x{:X};"),
    "quoted-printable": lambda key: quopri.encodestring(key.encode(), quotetabs=False).replace(
        b"=\n", b""
    ),
    "UTF-16, little end first": lambda key: key.encode("utf-16-le"),
    "UTF-16, big end first": lambda key: key.encode("utf-16-be"),
    "UTF-32, little end first": lambda key: key.encode("utf-32-le"),
    "UTF-32, big end first": lambda key: key.encode("utf-32-be"),
    "reversed": lambda key: key[::-1].encode(),
    "rot13": lambda key: codecs.encode(key, "rot13").encode(),
    "base64 twice": lambda key: base64.b64encode(base64.b64encode(key.encode())),
    "base64 with a line break inside": lambda key: (
        base64.b64encode(key.encode())[:12] + b"\n" + base64.b64encode(key.encode())[12:]
    ),
    "with a space after each character": lambda key: " ".join(key).encode(),
    "hex with spaces": lambda key: key.encode().hex(" ").encode(),
    "`\\xNN` throughout": lambda key: ("\\x" + key.encode().hex("x").replace("x", "\\x")).encode(),
    "`\\u{…}` throughout": lambda key: "".join(f"\\u{{{ord(char):x}}}" for char in key).encode(),
    "base32": lambda key: base64.b32encode(key.encode()),
    "base85": lambda key: base64.b85encode(key.encode()),
    "UTF-7": lambda key: key.encode("utf-7"),
    "EBCDIC": lambda key: key.encode("cp037"),
    "gzip inside a body that does not say so": lambda key: gzip.compress(key.encode()),
}
# What cannot stand in a header or in a text message, because of its bytes.
BINARY = {f"UTF-{bits}, {end} end first" for bits in (16, 32) for end in ("little", "big")}
BINARY |= {"EBCDIC", "gzip inside a body that does not say so"}
# What no scrubber can find, because there is no end to such transformations.
BEYOND = list(FORMS)[list(FORMS).index("reversed") :]

ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": partial(brotli.compress, quality=3),
    "zstd": zstandard.compress,
}
CODINGS = ["", *ENCODERS, "gzip, br", "br, zstd, deflate"]


def encoded(body: bytes, codings: str) -> bytes:
    """Apply codings in their order."""
    for name in filter(None, codings.split(", ")):
        body = ENCODERS[name](body)
    return body


@cache
def mask() -> Mask:
    """What the front door knows of a key that travels as `basic` does, and as it is."""
    return Mask([SECRET, b"user:" + SECRET])


def agent_request(*, stream: bool = False) -> http.Request:
    """The request that the answers belong to."""
    request = http.Request.make("POST", "https://upstream.example/")
    request.stream = stream
    return request


def passed(events: Iterable[HttpEvent], *, stream: bool = False) -> list[HttpEvent]:
    """What the agent gets in place of the events of an answer."""
    account = Account(None, "client", Steps())  # type: ignore[arg-type]
    stages = stages_for(account, mask(), Limits(), agent_request(stream=stream))
    passage = Passage(account, stages)
    return [shown for event in events for shown in passage.inward(event)]  # type: ignore[misc]


def answer(
    body: Iterable[bytes] = (),
    headers: tuple[tuple[bytes, bytes], ...] = (),
    trailers: tuple[tuple[bytes, bytes], ...] = (),
    status: int = 200,
    reason: bytes = b"",
) -> list[HttpEvent]:
    """The events of an answer."""
    response = http.Response.make(status)
    response.headers.fields = headers
    response.data.reason = reason
    pieces = [ResponseData(1, piece) for piece in body]
    ends = [ResponseTrailers(1, http.Headers(trailers))] if trailers else []
    return [ResponseHeaders(1, response), *pieces, *ends, ResponseEndOfMessage(1)]


def head_of(events: list[HttpEvent]) -> bytes:
    """All bytes of a head."""
    (response,) = [event.response for event in events if isinstance(event, ResponseHeaders)]
    return response.data.reason + b"".join(n + v for n, v in response.headers.fields)


def body_of(events: list[HttpEvent]) -> bytes:
    """All bytes of a body."""
    return b"".join(event.data for event in events if isinstance(event, ResponseData))


def in_head(name: bytes, before: bytes, form: bytes) -> bytes:
    """The head with a form in one header."""
    return head_of(passed(answer(headers=((name, before + form),))))


def in_trailer(form: bytes) -> bytes:
    """The trailer with a form in it."""
    events = passed(answer([b"body"], trailers=((b"x-echo", form),)))
    (trailers,) = [event.trailers for event in events if isinstance(event, ResponseTrailers)]
    return b"".join(name + value for name, value in trailers.fields)


def in_body(
    kind: bytes, before: bytes, after: bytes, form: bytes, codings: str = "", status: int = 200
) -> bytes:
    """The body with a form in it, in codings."""
    headers = [(b"content-type", kind)]
    headers += [(b"content-encoding", codings.encode())] if codings else []
    body = encoded(before + form + after, codings)
    return body_of(passed(answer([body], tuple(headers), status=status)))


def in_pieces(form: bytes) -> bytes:
    """Bodies with a form that is cut at each of its borders in turn."""
    cuts = ([form[:cut], form[cut:]] for cut in range(1, len(form)))
    single = [form[at : at + 1] for at in range(len(form))]
    return b"|".join(body_of(passed(answer(pieces))) for pieces in (*cuts, single))


def in_message(form: bytes, *, text: bool) -> bytes:
    """What a WebSocket delivers, with a form in one frame and in two."""
    account = Account(None, "client", Steps())  # type: ignore[arg-type]
    talk = Conversation(account, mask(), Limits())
    server = FrameProtocol(client=False, extensions=[])
    if text:
        return talk.from_server(bytes(server.send_data(form.decode())))
    frames = server.send_data(form[:5], False) + server.send_data(form[5:], True)
    return talk.from_server(bytes(frames))


def in_envelope(form: bytes) -> bytes:
    """What gRPC delivers, with a form in a message."""
    message = b"\x0a" + form + b"\x12"
    framed = b"\0" + len(message).to_bytes(4) + message
    kind = ((b"content-type", b"application/grpc"),)
    return body_of(passed(answer([framed[:9], framed[9:]], kind), stream=True))


HTML = (b"text/html", b"<h1>Bad key ", b"</h1>")
PLACES: dict[str, Callable[[bytes], bytes]] = {
    "header": partial(in_head, b"x-echo", b""),
    "`Set-Cookie`": partial(in_head, b"set-cookie", b"key="),
    "`Location`": partial(in_head, b"location", b"https://a.example/?key="),
    "reason": lambda form: head_of(passed(answer(reason=form))),
    "trailer": in_trailer,
    "body": partial(in_body, b"text/plain", b"", b""),
    "body in pieces": in_pieces,
    "event stream": partial(in_body, b"text/event-stream", b"data: ", b"\n\n"),
    "multipart": partial(in_body, b"multipart/mixed; boundary=b", b"--b\r\n\r\n", b"\r\n--b--"),
    "error page": partial(in_body, *HTML, status=500),
    "WebSocket text": partial(in_message, text=True),
    "WebSocket binary": partial(in_message, text=False),
    "gRPC message": in_envelope,
}
TEXTUAL = {"header", "`Set-Cookie`", "`Location`", "reason", "trailer", "WebSocket text"}
CODED = {
    "body": (b"text/plain", b"", b""),
    "event stream": (b"text/event-stream", b"data: ", b"\n\n"),
    "error page": HTML,
}


def shows(form: str, shown: bytes) -> bool:
    """True when the form is still there, or a good part of it, or nothing stands in its place."""
    return FORMS[form](KEY)[4:-6] in shown or STARS not in shown


def cell(form: str, place: str) -> str:
    """One word for one form in one place."""
    if place in TEXTUAL and form in BINARY:
        return "-"
    return "**passes**" if shows(form, PLACES[place](FORMS[form](KEY))) else "masked"


def row_of_coding(codings: str) -> str:
    """A row about all forms that are masked without a coding, in this one."""
    words = []
    for kind, before, after in CODED.values():
        shown = [
            shows(form, in_body(kind, before, after, FORMS[form](KEY), codings))
            for form in FORMS
            if form not in BEYOND
        ]
        words.append("**passes**" if any(shown) else "masked")
    name = f"`{codings}`" if codings else "none"
    return f"| {name} | {' | '.join(words)} |"


def _lower(text: str) -> bytes:
    """A percent-encoding with its digits in lower case."""
    parts = text.split("%")
    return "%".join([parts[0], *(part[:2].lower() + part[2:] for part in parts[1:])]).encode()


TOP = """\
# What is masked

Every answer of a host that a secret is bound to is scrubbed of it ([wire.md](wire.md#scrubbing)).
These tables are written by `python tests/door/test_scrubbing_page.py > docs/scrubbing.md`, which
sends every form through the code of the wire boundary; the same file tests that they are true.
*masked*: as many asterisks arrive; **passes**: it arrives as it was sent; -: it cannot stand there.

What passes is what no scrubber can find, because there is no end to such transformations. The
remedy is to give keys only to hosts that you trust with them.

A form that is cut over two messages of a WebSocket or of gRPC, or over two events of an event
stream, is such a transformation as well; cut over chunks, frames or packets it is not.

## Form by place

"""
BETWEEN = """
## Place by coding

Each form that is masked above, in an answer with this `Content-Encoding`:

"""


def page() -> str:
    """The page."""
    coded = _lines(CODED, map(row_of_coding, CODINGS), "coding")
    return TOP + "\n".join(_lines(PLACES, rows())) + BETWEEN + "\n".join(coded)


def rows() -> Iterator[str]:
    """A row for each form."""
    for form in FORMS:
        yield f"| {form} | {' | '.join(cell(form, place) for place in PLACES)} |"


def _lines(columns: Iterable[str], body: Iterable[str], first: str = "form") -> list[str]:
    names = [first, *columns]
    return [f"| {' | '.join(names)} |", "|" + "---|" * len(names), *body, ""]


def test_the_page_is_up_to_date() -> None:
    """It says what the wire boundary does, form by place by coding."""
    command = "python tests/door/test_scrubbing_page.py > docs/scrubbing.md"
    assert PAGE.read_text() == page(), command


def test_what_the_page_promises_is_kept() -> None:
    """Every form that scrubbing knows is masked everywhere; only what is beyond it passes."""
    passing = {
        (form, place) for form in FORMS for place in PLACES if cell(form, place) == "**passes**"
    }
    assert {form for form, _ in passing} == set(BEYOND)
    assert "**passes**" not in "".join(map(row_of_coding, CODINGS))


@pytest.mark.parametrize("place", PLACES)
def test_masking_keeps_every_length(place: str) -> None:
    """As many asterisks as there were bytes."""
    plain, masked = PLACES[place](b"_" * len(SECRET)), PLACES[place](SECRET)
    assert len(plain) == len(masked)
    assert masked != plain
    assert SECRET not in masked


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(FORMS)),
    st.sampled_from(CODINGS),
    st.binary(max_size=60),
    st.binary(max_size=60),
    st.lists(st.integers(0, 400), max_size=8),
)
def test_any_split_of_any_coding_equals_the_whole(
    form: str, codings: str, before: bytes, after: bytes, cuts: list[int]
) -> None:
    """Where an answer is cut on its way changes nothing of what the agent gets."""
    plain = before + FORMS[form](KEY) + after
    sent = encoded(plain, codings)
    borders = [0, *sorted(min(cut, len(sent)) for cut in cuts), len(sent)]
    pieces = [sent[a:b] for a, b in pairwise(borders)]
    headers = ((b"content-encoding", codings.encode()),) if codings else ()
    shown = body_of(passed(answer(pieces, headers)))
    assert shown == body_of(passed(answer([sent], headers)))
    assert len(shown) == len(plain)
    assert form in BEYOND or not shows(form, shown)


if __name__ == "__main__":
    sys.stdout.write(page())
