"""The detector: finds planted values in a stream, in every form, however it is cut."""

import base64
import json
from urllib.parse import quote

import pytest

from broker import Secret, forms_of
from broker.detector import PIECE, Detector, cut

VALUE = b"ghp_Kq3v9ZtLw2mXr8bNc5yHs7dJf4gPa1eUoT6i"


@pytest.fixture
def detector() -> Detector:
    """Watches for two values."""
    return Detector({"one": Secret(VALUE), "two": Secret(b"AKIAQWERTYUIOP234567")})


@pytest.mark.parametrize("form", forms_of(VALUE), ids=range(len(forms_of(VALUE))))
def test_finds_every_form_at_every_cut(detector: Detector, form: bytes) -> None:
    """Where the stream is cut makes no difference."""
    stream = b"before " + form + b" after"
    for at in range(len(stream)):
        assert detector.find([stream[:at], stream[at:]]) == "one"
    assert detector.find(bytes([byte]) for byte in stream) == "one"


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(base64.b64encode(b"user:" + VALUE), id="Basic, behind a user's name"),
        pytest.param(json.dumps({"key": VALUE.decode()}).encode(), id="a JSON string"),
        pytest.param(quote(VALUE, safe="").encode(), id="percent-encoded"),
        pytest.param(b"x" * (PIECE - 5) + VALUE, id="over the border of two pieces"),
    ],
)
def test_finds_it_as_clients_write_it(detector: Detector, stream: bytes) -> None:
    """In the spellings that requests have."""
    assert detector.find(cut(stream)) == "one"


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(VALUE[:-1], id="one byte too few"),
        pytest.param(VALUE.swapcase(), id="another case"),
    ],
)
def test_finds_nothing_else(detector: Detector, stream: bytes) -> None:
    """What only resembles a planted value is none."""
    assert detector.find([stream]) == ""


def test_shows_nothing(detector: Detector) -> None:
    """Neither a detector of nothing nor one of something tells a value."""
    assert not Detector({})
    assert VALUE.decode() not in repr(detector)
