"""An answer is taken apart: every token leaves it, and its end is read from beside it."""

import json
from itertools import count

import pytest

from interlock.minting.capture import LONGEST_S, Captured, capture

FIELDS = ("access_token", "refresh_token", "token")
NOW = 1_000.0


def taken(answer: object) -> Captured:
    numbers = count(1)
    return capture(json.dumps(answer).encode(), FIELDS, NOW, lambda: f"ilm_{next(numbers)}")


def test_a_token_leaves_wherever_it_stands() -> None:
    """Deep in the document, in a list, with its name in another case."""
    captured = taken({"ok": True, "a": [{"Access_Token": "one"}], "authed": {"token": "two"}})
    shown = {"ok": True, "a": [{"Access_Token": "ilm_1"}], "authed": {"token": "ilm_2"}}
    assert json.loads(captured.body) == shown
    assert [each.value.reveal() for each in captured.tokens] == [b"one", b"two"]
    assert "one" not in repr(captured)


def test_an_answer_without_a_token_stays_as_it_is() -> None:
    """To the byte, with null and the empty text where a token would be."""
    body = b'{ "access_token" : null, "token": "", "error": "authorization_pending" }'
    assert capture(body, FIELDS, NOW, str) == Captured(body, ())
    assert capture(b"", FIELDS, NOW, str) == Captured(b"", ())


@pytest.mark.parametrize(
    ("beside", "ends"),
    [
        pytest.param({"expires_in": 60}, 1_060.0, id="seconds"),
        pytest.param({"expires_in": "60"}, 1_060.0, id="seconds in quotes"),
        pytest.param({"expires_in": -5}, NOW, id="in the past"),
        pytest.param({"expires_at": 1_200}, 1_200.0, id="a moment"),
        pytest.param({"expires_at": "1970-01-01T00:20:00Z"}, 1_200.0, id="a moment as text"),
        pytest.param({"expires_at": "1970-01-01T00:20:00Z", "expires_in": 9}, 1_009.0, id="both"),
        pytest.param({"access_token_expires_in": 5, "expires_in": 60}, 1_005.0, id="its own"),
        pytest.param({"expires_in": True}, NOW + LONGEST_S, id="no number"),
        pytest.param({"expires_in": 1e300}, NOW + LONGEST_S, id="for ever"),
        pytest.param({"expires_in": "nan", "expires_at": "soon"}, NOW + LONGEST_S, id="nonsense"),
        pytest.param({}, NOW + LONGEST_S, id="nothing"),
    ],
)
def test_the_end_of_a_token(beside: dict[str, object], ends: float) -> None:
    """What is named first counts; what is not named is the longest time."""
    (token,) = taken({"access_token": "one"} | beside).tokens
    assert token.ends == ends


@pytest.mark.parametrize(
    ("beside", "ends"),
    [
        pytest.param({"expires_in": 60}, NOW + LONGEST_S, id="of the access token only"),
        pytest.param({"refresh_token_expires_in": 90}, 1_090.0, id="as GitHub names it"),
        pytest.param({"refresh_expires_in": 90}, 1_090.0, id="as Keycloak names it"),
    ],
)
def test_a_refresh_token_has_an_end_of_its_own(beside: dict[str, object], ends: float) -> None:
    """It outlives the access token beside it."""
    (token,) = taken({"refresh_token": "one"} | beside).tokens
    assert token.ends == ends


def form(body: str) -> Captured:
    kind = "application/x-www-form-urlencoded; charset=utf-8"
    return capture(body.encode(), FIELDS, NOW, lambda: "ilm_1", kind)


def test_a_form_is_taken_apart_too() -> None:
    """Decoded, with its end; what is in it besides stays what it was."""
    captured = form("Access_Token=a%2Bb&scope=repo%2Cgist+x&expires_in=60&empty=")
    assert captured.body == b"Access_Token=ilm_1&scope=repo%2Cgist+x&expires_in=60&empty="
    (token,) = captured.tokens
    assert (token.value.reveal(), token.ends) == (b"a+b", 1_060.0)
    plain = b"error=bad_code&error_description=The+code+is+wrong%3B+try"
    assert form(plain.decode()) == Captured(plain, ())


@pytest.mark.parametrize(
    "body",
    [
        pytest.param('{"access_token": "a"}', id="JSON"),
        pytest.param('{"access_token": "a="}', id="JSON with a sign of forms in it"),
        pytest.param("access_token", id="a name alone"),
        pytest.param("scope=a;access_token=b", id="cut at another sign"),
        pytest.param("access_token=a&Access%5Ftoken=b", id="a field twice"),
        pytest.param("user[access_token]=a", id="nested names"),
        pytest.param("access_token=%ff", id="bytes that are no text"),
        pytest.param("access_token=ä", id="what is not ASCII"),
        pytest.param("access_token=a%0Ab", id="a line break"),
        pytest.param("a=b\naccess_token=c", id="a line for each"),
    ],
)
def test_a_form_that_parsers_read_differently_is_refused(body: str) -> None:
    """Rather than that a token passes unseen."""
    with pytest.raises(ValueError, match=r"^it"):
        form(body)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"token": 7}, id="a number"),
        pytest.param({"token": ["x"]}, id="a list"),
        pytest.param({"token": {"value": "x"}}, id="an object"),
        pytest.param({"token": "x\ny"}, id="a line break"),
        pytest.param({"token": "x" * 20_000}, id="more than a secret may have"),
        pytest.param({str(n): {"token": "x"} for n in range(9)}, id="too many"),
    ],
)
def test_what_cannot_be_kept_is_refused(answer: object) -> None:
    """And the message quotes nothing of it."""
    with pytest.raises(ValueError, match=r"^it") as error:
        taken(answer)
    assert "x" not in str(error.value).replace("text", "")
