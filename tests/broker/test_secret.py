"""The laws of Secret: it goes where it is needed and shows itself nowhere."""

import copy
import json
import logging
import pickle
import traceback
from dataclasses import asdict, dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import Secret

VALUE = "sk-live-0123456789abcdef"
VISIBLE = st.text(st.characters(min_codepoint=0x21, exclude_characters="\x7f", codec="utf-8"))


@given(VISIBLE.filter(bool))
def test_reveals_what_it_was_given(value: str) -> None:
    """Text comes out as its UTF-8 bytes, bytes come out as they are."""
    assert Secret(value).reveal() == value.encode()
    assert Secret(value.encode()).reveal() == value.encode()


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param(b"", id="no bytes"),
        pytest.param(f"{VALUE}\n", id="the line feed of a key file"),
        pytest.param(f"{VALUE}\r\nX-Evil: 1", id="a second header"),
        pytest.param(f"{VALUE}\0", id="NUL"),
        pytest.param(f"{VALUE}\t{VALUE}", id="tab"),
        pytest.param(f"{VALUE}\x7f", id="delete"),
        pytest.param(f"{VALUE}\x1b[2J".encode(), id="terminal escape in bytes"),
        pytest.param(f" {VALUE}", id="leading blank"),
        pytest.param(f"{VALUE} ", id="trailing blank"),
        pytest.param(f"{VALUE}\udc80", id="lone surrogate"),
        pytest.param(VALUE * 1000, id="over 16 KiB"),
    ],
)
def test_refuses_what_would_bend_a_request(value: str | bytes) -> None:
    """A value that the wire cannot carry whole is refused, and the refusal does not show it."""
    with pytest.raises(ValueError, match=r"^a secret must .*$") as caught:
        Secret(value)
    chain = (caught.value, caught.value.__cause__, caught.value.__context__)
    assert VALUE not in "".join(map(repr, chain))


def test_holds_up_to_16_kib() -> None:
    """The limit itself is allowed."""
    assert len(Secret("x" * 16 * 1024).reveal()) == 16 * 1024


@pytest.mark.parametrize(
    "show",
    [
        pytest.param(repr, id="repr"),
        pytest.param(str, id="str"),
        pytest.param(format, id="format"),
        pytest.param("{:>40}".format, id="format with a width"),
        pytest.param("{0!r} {0!s} {0!a}".format, id="conversions"),
        pytest.param(lambda secret: f"{secret} {secret=}", id="f-string"),
        pytest.param(lambda secret: "%s %r" % (secret, secret), id="percent"),  # noqa: UP031
        pytest.param(lambda secret: repr([{"key": (secret,)}]), id="inside containers"),
        pytest.param(lambda secret: json.dumps([secret], default=str), id="json with a default"),
        pytest.param(lambda secret: repr(copy.copy(secret)), id="copy"),
        pytest.param(lambda secret: repr(copy.deepcopy([secret])), id="deepcopy"),
    ],
)
def test_shows_only_that_it_is_hidden(show) -> None:  # type: ignore[no-untyped-def]
    """Every way of writing it down writes Secret(hidden)."""
    shown = show(Secret(VALUE))
    assert "Secret(hidden)" in shown
    assert VALUE not in shown


@pytest.mark.parametrize(
    "leak",
    [
        pytest.param(lambda secret: secret.__getstate__(), id="getstate"),
        pytest.param(lambda secret: secret.__reduce__(), id="reduce"),
        pytest.param(json.dumps, id="json"),
        pytest.param(vars, id="vars"),
        pytest.param(bytes, id="bytes"),
        pytest.param(iter, id="iteration"),
        pytest.param(len, id="length"),
        pytest.param(hash, id="hash"),
        pytest.param(lambda secret: setattr(secret, "note", VALUE), id="another attribute"),
        *(
            pytest.param(lambda secret, p=p: pickle.dumps(secret, p), id=f"pickle {p}")
            for p in range(pickle.HIGHEST_PROTOCOL + 1)
        ),
    ],
)
def test_refuses_to_be_taken_apart(leak) -> None:  # type: ignore[no-untyped-def]
    """What would carry the value away, or measure it, raises instead and does not show it."""
    with pytest.raises((TypeError, AttributeError)) as caught:
        leak(Secret(VALUE))
    assert VALUE not in repr(caught.value)


def test_hides_in_a_dataclass() -> None:
    """A value object may hold a secret: its repr and asdict stay clean."""

    @dataclass(frozen=True, slots=True)
    class Account:
        secret: Secret

    account = Account(Secret(VALUE))
    assert VALUE not in repr(account)
    assert VALUE not in repr(asdict(account))


def test_hides_in_a_traceback() -> None:
    """A traceback that prints local variables does not print the secret."""

    def fail(secret: Secret) -> None:
        raise RuntimeError(f"could not send {secret}")

    with pytest.raises(RuntimeError) as caught:
        fail(Secret(VALUE))
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    text = "".join(report.format())
    assert "secret = Secret(hidden)" in text
    # This frame names VALUE itself; the frame that holds the Secret must not show it.
    assert VALUE not in text.partition("in fail")[2]


def test_hides_in_a_log(caplog: pytest.LogCaptureFixture) -> None:
    """A log line with a secret as its argument does not show it."""
    logging.getLogger("broker.test").warning("sending %s %r", Secret(VALUE), Secret(VALUE))
    assert "Secret(hidden) Secret(hidden)" in caplog.text
    assert VALUE not in caplog.text


def test_is_equal_by_value() -> None:
    """Two secrets compare by what they hold; a secret equals nothing else."""
    assert Secret(VALUE) == Secret(VALUE.encode())
    assert Secret(VALUE) != Secret(VALUE + "0")
    assert Secret(VALUE) != VALUE.encode()
    assert Secret(VALUE) != VALUE
