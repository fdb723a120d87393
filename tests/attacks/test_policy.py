"""What policy read is what the provider reads: one spelling of a path, one reading of a body."""

from interlock.model import Mode
from tests.attacks.case import BOTH, PROXY, Case, Setting, Then, judge, table
from tests.attacks.field import Field
from tests.attacks.test_destination import fields

REFUSED, PASSES, DENIED, HARMLESS = Then.REFUSED, Then.PASSES, Then.DENIED, Then.HARMLESS

PATHS = {
    "a dot segment": b"/v1/x/../models",
    "a segment of one dot": b"/v1/./models",
    "encoded dots": b"/v1/x/%2e%2e/models",
    "one encoded dot": b"/v1/x/.%2E/models",
    "double encoding": b"/v1/x/%252e%252e/models",
    "an empty segment": b"/v1//models",
    "an empty first segment": b"//v1/models",
    "a path parameter": b"/v1/models;x=1",
    "an encoded path parameter": b"/v1/models%3bx=1",
    "a backslash": b"/v1\\models",
    "an encoded backslash": b"/v1%5cmodels",
    "an encoded slash": b"/v1%2fmodels",
    "a NUL": b"/v1/models%00",
    "an encoded line break": b"/v1/models%0d%0aX:%20y",
    "overlong dots": b"/v1/x/%c0%ae%c0%ae/models",
    "an overlong slash": b"/v1%c0%afmodels",
    "full-width dots": b"/v1/x/%ef%bc%8e%ef%bc%8e/models",
    "a division slash": b"/v1%e2%88%95models",
    "half an escape": b"/v1/models%",
    "an escape of another kind": b"/v1/models%u002f",
    "a letter in disguise": b"/v1/%6dodels",
    "a fragment": b"/v1/models#x",
    "raw bytes beyond ASCII": b"/v1/models\xc3\xa9",
    "nine thousand characters": b"/v1/models/" + b"a" * 9000,
}
OF_A_PATH = [
    *(
        Case(said, REFUSED, b"GET " + path + b" HTTP/1.1\r\nHost: {victim}\r\n{proof}\r\n")
        for said, path in PATHS.items()
    ),
    *(
        Case(f"{said}, over HTTP/2", REFUSED, fields=fields(path=path))
        for said, path in PATHS.items()
    ),
    Case(
        "a longer name that begins alike",
        DENIED,
        b"GET /v1extra HTTP/1.1\r\nHost: {victim}\r\n{proof}\r\n",
    ),
    Case(
        "a parameter twice",
        HARMLESS,
        b"GET /v1/models?a=1&a=2 HTTP/1.1\r\nHost: {victim}\r\n{proof}\r\n",
    ),
]


@table(OF_A_PATH, BOTH)
def test_a_path_with_two_readings(field: Field, case: Case, setting: Setting) -> None:
    """Refused even by the mode that denies nothing, as the host has a key; nothing reaches it."""
    judge(field, case, setting)


JSON = "application/json"
FORM = b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\na\r\n--x--\r\n'
BODIES: dict[str, tuple[bytes, str]] = {
    "a key twice": (b'{"model":"a","model":"b"}', JSON),
    "a key twice, once escaped": (b'{"model":"a","m\\u006fdel":"b"}', JSON),
    "keys that differ in case": (b'{"model":"a","MODEL":"b"}', JSON),
    "a byte order mark": (b"\xef\xbb\xbf{}", JSON),
    "UTF-16": ('{"model":"a"}'.encode("utf-16"), JSON),
    "UTF-32 without a mark": ('{"model":"a"}'.encode("utf-32-le"), JSON),
    "NaN": (b'{"temperature":NaN}', JSON),
    "minus infinity": (b'{"temperature":-Infinity}', JSON),
    "a number beyond 64 bits": (b'{"max_tokens":1180591620717411303424}', JSON),
    "half a character": (b'{"model":"\\ud800"}', JSON),
    "a model that is a list": (b'{"model":["a"]}', JSON),
    "a model that is an entity": (b'{"model":{"__entity":{"type":"Model","id":"a"}}}', JSON),
    "trailing data": (b'{"model":"a"} {"model":"b"}', JSON),
    "a comment": (b'{"model":"a"/*,"model":"b"*/}', JSON),
    "100,000 deep": (b'{"a":' * 100_000, JSON),
    "600,000 values": (b'{"a":[' + b"1," * 600_000 + b"1]}", JSON),
    "a form": (b"model=a", "application/x-www-form-urlencoded"),
    "multipart": (FORM, "multipart/form-data; boundary=x"),
    "text that is JSON": (b'{"model":"a"}', "text/plain"),
    "a charset": (b'{"model":"a"}', JSON + "; charset=utf-7"),
    "a content coding": (b'{"model":"a"}', JSON + "\r\nContent-Encoding: gzip"),
    "two content types": (b'{"model":"a"}', JSON + "\r\nContent-Type: text/plain"),
}


def post(body: bytes, kind: str) -> bytes:
    """A chat call."""
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {{victim}}\r\nContent-Type: {kind}\r\n"
    return head.encode() + b"Content-Length: %d\r\n{proof}\r\n" % len(body) + body


OF_A_BODY = [Case(said, REFUSED, post(*sent)) for said, sent in BODIES.items()]


@table(OF_A_BODY, BOTH)
def test_a_body_with_two_readings(field: Field, case: Case, setting: Setting) -> None:
    """Refused where a key is involved, and the ledger says what was decided."""
    before = len(field.decisions())
    judge(field, case, setting)
    (row,) = field.decisions()[before:]
    assert row["body"]["effect"] == "deny"


@table(
    [Case("", DENIED, b"GET /echo/%c3%a9?q=%c3%a9 HTTP/1.1\r\nHost: {victim}\r\n{proof}\r\n")],
    PROXY,
)
def test_a_path_goes_out_in_the_normal_spelling(field: Field, case: Case, setting: Setting) -> None:
    """Escapes in upper case, in the ledger as on the wire; the query is left alone."""
    judge(field, case, setting)
    assert field.decisions()[-1]["body"]["path"] == "/echo/%C3%A9"
    if setting.mode is Mode.OBSERVE:
        assert field.heads[0].startswith(b"GET /echo/%C3%A9?q=%c3%a9 ")
