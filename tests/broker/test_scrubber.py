"""The laws of scrubbing a stream."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import Mask, Scrubber, forms_of
from broker.search import Few, Many

# Few letters and short forms, so that occurrences meet, overlap and repeat; `%` is a sign.
DATA = st.text("ab.%", max_size=40).map(str.encode)
FORMS = st.lists(st.text("ab%", min_size=1, max_size=6).map(str.encode), max_size=4)
CHUNKS = st.lists(st.text("ab.%", max_size=9).map(str.encode), max_size=9)


def scrub(forms: list[bytes], *chunks: bytes) -> tuple[bytes, int]:
    scrubber = Scrubber(forms)
    shown = b"".join(map(scrubber.feed, chunks)) + scrubber.flush()
    return shown, scrubber.count


def covered(forms: list[bytes], data: bytes) -> set[int]:
    """Say which bytes belong to a form, in the slowest and plainest way."""
    return {
        index
        for form in forms
        for start in range(len(data))
        if data.startswith(form, start)
        for index in range(start, start + len(form))
    }


def longest_beginning(forms: list[bytes], data: bytes) -> int:
    """Say how long the longest end of data is that could become a form."""
    lengths = range(1, len(data) + 1)
    return max(
        (n for n in lengths for form in forms if n < len(form) and form.startswith(data[-n:])),
        default=0,
    )


@given(FORMS, DATA)
def test_masks_what_a_form_covers_and_nothing_else(forms: list[bytes], data: bytes) -> None:
    """A byte that belongs to any occurrence of any form becomes a star, all others stay."""
    masked = covered(forms, data)
    expected = bytes(ord("*") if i in masked else byte for i, byte in enumerate(data))
    assert scrub(forms, data)[0] == expected


@given(FORMS, CHUNKS)
def test_any_split_equals_the_whole(forms: list[bytes], chunks: list[bytes]) -> None:
    """Where the stream is cut changes neither the bytes nor the count."""
    whole = b"".join(chunks)
    assert scrub(forms, *chunks) == scrub(forms, whole)
    assert scrub(forms, *(whole[i : i + 1] for i in range(len(whole)))) == scrub(forms, whole)


@given(FORMS, CHUNKS)
def test_many_forms_are_found_like_few(forms: list[bytes], chunks: list[bytes]) -> None:
    """Chunk for chunk, whichever way they are looked for."""
    named = {form: form.decode() for form in forms}
    one, other = Scrubber(Few(named)), Scrubber(Many(named))
    for chunk in chunks:
        assert one.feed(chunk) == other.feed(chunk)
    assert one.flush() == other.flush()
    assert (one.count, one.spellings) == (other.count, other.spellings)


def test_thousands_of_secrets_take_no_longer_than_one_place_each() -> None:
    """An answer was searched for each of them; now at most the end of one is looked at."""
    values = [f"sk-other-{n:032}".encode() for n in range(4_000)]
    mask, chunk = Mask(values), b"the agent reads this, and this. " * 100
    scrubber = mask.scrubber()
    began = time.process_time()
    assert scrubber.feed(chunk + values[7] + chunk).count(b"*") == len(values[7])
    once = time.process_time() - began
    one_by_one = Scrubber(Few(mask.forms))
    began = time.process_time()
    one_by_one.feed(chunk + chunk)
    assert once < (time.process_time() - began) / 4


def test_the_mask_of_many_secrets_is_made_in_one_go() -> None:
    """Of thousands that are bound to one host; each was once put into a copy of all before it."""

    def cost(number: int) -> float:
        values = [f"sk-other-{n:032}".encode() for n in range(number)]
        began = time.process_time()
        mask = Mask(values)
        both = Mask.all([Mask([value]) for value in values])
        assert both.forms == mask.forms
        return time.process_time() - began

    assert cost(2_000) < 30 * cost(200)


@given(st.binary(min_size=8, max_size=40), st.binary(), st.binary(), st.data())
def test_no_form_survives(value: bytes, before: bytes, after: bytes, data: st.DataObject) -> None:
    """Any form of any value, anywhere, cut anywhere: it is gone, and the length is the same."""
    forms = forms_of(value)
    answer = before + data.draw(st.sampled_from(forms)) + after
    cut = data.draw(st.integers(0, len(answer)))
    shown, count = scrub([*forms], answer[:cut], answer[cut:])
    assert not any(form in shown for form in forms if form.strip(b"*"))
    assert len(shown) == len(answer)
    assert count >= 1


@given(FORMS, CHUNKS)
def test_holds_back_no_more_than_a_beginning(forms: list[bytes], chunks: list[bytes]) -> None:
    """What cannot become a form is delivered at once."""
    scrubber, fed, shown = Scrubber(forms), b"", b""
    for chunk in chunks:
        fed += chunk
        shown += scrubber.feed(chunk)
        assert len(fed) - len(shown) == longest_beginning(forms, fed)


def test_delivers_a_live_event_at_once() -> None:
    """The end of an event of an event stream is never the beginning of a credential."""
    scrubber = Scrubber(forms_of(b"sk-live-0123456789abcdef"))
    event = b'data: {"delta": "as I said, sk-live"}\n\n'
    assert scrubber.feed(event) == event
    assert scrubber.flush() == b""


@pytest.mark.parametrize(
    ("forms", "data", "shown", "count"),
    [
        pytest.param([], b"anything", b"anything", 0, id="no forms"),
        pytest.param([b""], b"anything", b"anything", 0, id="the empty form"),
        pytest.param([b"key"], b"a key, a key", b"a ***, a ***", 2, id="two places"),
        pytest.param([b"key"], b"keykey", b"******", 2, id="side by side"),
        pytest.param([b"abc", b"bcd"], b"abcd", b"****", 1, id="two forms overlap"),
        pytest.param([b"aba"], b"ababa", b"*****", 1, id="a form overlaps itself"),
        pytest.param([b"xabcdy", b"bc"], b"xabcd", b"xa**d", 1, id="a form in a beginning"),
        pytest.param([b"key"], b"ke", b"ke", 0, id="a beginning at the end"),
    ],
)
def test_masks_and_counts(forms: list[bytes], data: bytes, shown: bytes, count: int) -> None:
    """Occurrences that share bytes are one place; those that only touch are two."""
    assert scrub(forms, data) == (shown, count)


def test_a_mask_makes_scrubbers_and_shows_nothing() -> None:
    """Its forms are worked out once; two masks together hide what either hides."""
    mask = Mask([b"first-secret-123"]) | Mask([b"second-secret-456"])
    scrubber = mask.scrubber()
    data = b"first-secret-123 " + b"second-secret-456".hex().encode()
    assert scrubber.feed(data) + scrubber.flush() == b"*" * 16 + b" " + b"*" * 34
    assert "secret" not in repr(mask)
    assert not Mask([])


@given(st.binary(min_size=8, max_size=24), st.binary(max_size=9), st.data())
def test_a_mask_cuts_as_any_other(value: bytes, around: bytes, data: st.DataObject) -> None:
    """What it worked out beforehand about its forms is true of all of them."""
    mask = Mask([value])
    answer = around + data.draw(st.sampled_from([*mask.forms])) + around
    scrubber, plain = mask.scrubber(), Scrubber(mask.forms)
    shown = b"".join(scrubber.feed(answer[at : at + 1]) for at in range(len(answer)))
    assert shown + scrubber.flush() == plain.feed(answer) + plain.flush()


def test_goes_on_after_a_flush() -> None:
    """One scrubber serves one value after the other; nothing of the first meets the second."""
    scrubber = Scrubber([b"secret"])
    assert scrubber.feed(b"sec") + scrubber.flush() == b"sec"
    assert scrubber.feed(b"ret") + scrubber.flush() == b"ret"
    assert scrubber.count == 0


@pytest.mark.parametrize(
    ("form", "data"),
    [
        pytest.param(b"a" * 16_384, b"a" * 1_000_000, id="one letter"),
        pytest.param(b"ab" * 8_192, b"ab" * 500_000, id="two letters"),
        pytest.param(b"a" * 16_383 + b"b", b"a" * 1_000_000, id="almost, everywhere"),
    ],
)
def test_takes_linear_time(form: bytes, data: bytes) -> None:
    """The worst secret and the worst answer: a megabyte in far less than a second."""
    start = time.process_time()
    scrub([form], *(data[i : i + 65_536] for i in range(0, len(data), 65_536)))
    assert time.process_time() - start < 2
