"""What is kept of a request: names, never values, but those that a policy asked for."""

from typing import Any

import pytest

from broker import Mask
from interlock.calls.fields import names_of, values_of
from interlock.model import Authority, Request

KEY = "ilk_" + "a" * 43
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


def request(body: bytes = b"", kind: str = JSON, path: str = "/", encoding: str = "") -> Request:
    """A request to somewhere."""
    return Request("POST", "https", Authority("h", 443), path, body, kind, encoding)


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        pytest.param(request(), {}, id="nothing"),
        pytest.param(
            request(path="/?a=SECRET&b%5B%5D=SECRET&a=SECRET"),
            {"query_fields": ["a", "b[]"]},
            id="a query",
        ),
        pytest.param(request(path="/?SECRET"), {"fields_left_out": 1}, id="a value alone"),
        pytest.param(
            request(b'{"model": "SECRET", "messages": [{"deep": "SECRET"}]}'),
            {"body_fields": ["model", "messages"]},
            id="the top of an object",
        ),
        pytest.param(
            request(b'{"my SECRET prompt": 1, "ok": 2}'),
            {"body_fields": ["ok"], "fields_left_out": 1},
            id="a prompt as a name",
        ),
        pytest.param(
            request(f'{{"{KEY}": 1}}'.encode()), {"fields_left_out": 1}, id="a key as a name"
        ),
        pytest.param(request(b"user=SECRET&SECRET", FORM), {"body_fields": ["user"]}, id="a form"),
        pytest.param(request(b'["SECRET"]'), {}, id="a list"),
        pytest.param(request(b'{"a": "SECRET"'), {}, id="no JSON"),
        pytest.param(request(b"[" * 100_000), {}, id="too deep"),
        pytest.param(request(b'{"a": 1}', "text/plain"), {}, id="another type"),
        pytest.param(request(b'{"a": 1}', encoding="gzip"), {}, id="encoded"),
        pytest.param(request(b'{"a": "' + b"x" * (1 << 20) + b'"}'), {}, id="very large"),
    ],
)
def test_names_are_kept_and_values_are_not(asked: Request, kept: dict[str, Any]) -> None:
    """What does not look like a name is counted."""
    found = names_of(asked)
    assert "SECRET" not in str(found)
    assert {name: found[name] for name in kept} == kept
    assert set(found) <= {*kept, "fields_left_out"}


def test_no_row_grows_without_end() -> None:
    """Names beyond a number are counted."""
    many = "&".join(f"n{number}=1" for number in range(1000))
    found = names_of(request(path=f"/?{many}"))
    assert len(found["query_fields"]) == 64
    assert found["fields_left_out"] == 936


def test_values_are_those_that_were_asked_for() -> None:
    """By their way through objects; bounded, and of what holds others the type alone."""
    body = (
        b'{"amount": 12.5, "payee": {"country": "NZ", "name": "SECRET"}, "note": "'
        + b"x" * 999
        + b'", "tags": ["SECRET"], "no": null, "big": 1e999, "yes": true}'
    )
    asked = ("amount", "payee.country", "payee", "note", "tags", "no", "yes", "big", "gone", "a.b")
    assert values_of(request(body), asked, Mask(())) == {
        "amount": 12.5,
        "payee.country": "NZ",
        "payee": "object",
        "note": "x" * 256,
        "tags": "array",
        "no": None,
        "yes": True,
        "big": "number",
    }


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("sk-REAL-0123456789", id="the secret of the destination"),
        pytest.param("c2stUkVBTC0wMTIzNDU2Nzg5", id="in another form"),
        pytest.param(KEY, id="a key of an agent"),
        pytest.param("v4.public." + "A" * 80, id="a token"),
    ],
)
def test_a_secret_is_masked_where_values_are_kept(value: str) -> None:
    """Also beyond the place where a value is cut, so that no half of it stays."""
    body = f'{{"note": "{"x" * 250}{value} rest"}}'.encode()
    (kept,) = values_of(request(body), ["note"], Mask([b"sk-REAL-0123456789"])).values()
    assert kept.rstrip("*") == "x" * 250
    assert len(kept) == 256


@pytest.mark.parametrize(
    "body", [b'{"a": 1, "a": 2}', b'{"a": 1} x', b"[1]", b'{"a": NaN}'], ids=repr
)
def test_what_can_be_read_in_two_ways_has_no_values(body: bytes) -> None:
    """A row does not say what the upstream may have read otherwise."""
    assert values_of(request(body), ["a"], Mask(())) == {}
