"""What an agent received, read back from what its program wrote."""

import pytest

from interlock.demo.heard import Heard

HEAD = b"HTTP/1.1 200 OK\r\nInterlock-Decision-Id: dec_1\r\nContent-Type: text/event-stream\r\n\r\n"


def test_reads_status_decision_and_kind() -> None:
    """Headers are found whatever their case."""
    heard = Heard.parse(HEAD + b"data: {}\n\n")
    assert (heard.status, heard.decision_id, heard.streamed) == (200, "dec_1", True)


def test_keeps_every_byte() -> None:
    """A key would be found in headers and body alike."""
    raw = HEAD + b"data: \xff\n\n"
    assert Heard.parse(raw).raw == raw


def test_a_stream_that_broke_off_was_not_streamed() -> None:
    """An event ends with an empty line."""
    assert not Heard.parse(HEAD + b"data: {").streamed


def test_an_answer_of_our_own_making_may_lack_everything() -> None:
    """No header is required."""
    assert Heard.parse(b"HTTP/1.1 407 \r\n\r\n").decision_id == ""


def test_nonsense_is_refused() -> None:
    """A program that wrote something else is found out."""
    with pytest.raises(ValueError, match="invalid literal"):
        Heard.parse(b"Traceback (most recent call last):\n")
