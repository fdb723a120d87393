"""What every secret store does, tried against each; a subclass says how its store is filled."""

import logging
import threading
import time
import traceback
from collections.abc import Iterator

import pytest

from broker import Secret, StoreRefusalError
from broker.stores import Cache, Fetched, Reference, Stores, parse_reference

VALUE = "sk-live-0123456789abcdef"
LIMIT_S = 30.0


class StoreContract:
    """A store that works. `stores` is a fixture of the subclass, as is how a value gets in."""

    missing: str  # a reference to nothing

    def put(self, value: str) -> Reference:
        """Keep a value, in place of the one before, and answer its reference."""
        raise NotImplementedError

    def fetch(self, reference: Reference) -> Fetched:
        return self.stores.fetch(reference)

    @pytest.fixture(autouse=True)
    def _stores(self, filled: Stores) -> Iterator[None]:
        self.stores = filled
        yield
        filled.close()

    def test_what_is_there_is_fetched(self) -> None:
        """The value comes as a Secret."""
        fetched = self.fetch(self.put(VALUE))
        assert fetched.secret == Secret(VALUE)
        assert VALUE not in repr(fetched)

    def test_what_is_missing_is_refused(self) -> None:
        """With one clear line."""
        self.put(VALUE)
        self.refused(parse_reference(self.missing))

    @pytest.mark.parametrize("bad", [f"{VALUE}\r\nX: y", f"{VALUE}\ny", f" {VALUE}"])
    def test_what_would_bend_a_request_is_refused(
        self, bad: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A value with a line break never becomes a secret, and nothing quotes it."""
        self.refused(self.put(bad), caplog)

    def test_a_rotated_value_is_fetched_within_the_time_of_the_cache(self) -> None:
        """Before that, the store is not asked again; a new version is asked for at once."""
        now = 100.0
        cache, first = Cache(3.0, lambda: now), self.put(VALUE)

        def ask(version: bytes) -> Secret:
            def forget() -> None:
                self.stores.forget(first)

            return cache.ask("n", version, lambda: self.fetch(first), forget).future.result(9)

        assert ask(b"1") == Secret(VALUE)
        self.put("sk-live-rotated")
        assert ask(b"1") == Secret(VALUE)
        assert ask(b"2") == Secret("sk-live-rotated")
        self.put(VALUE)
        now += 2.9
        assert ask(b"2") == Secret("sk-live-rotated")
        now += 0.2
        assert ask(b"2") == Secret(VALUE)

    def test_threads_may_share_it(self) -> None:
        """Ten at once all get the value."""
        reference, found = self.put(VALUE), list[Secret]()

        def fetch() -> None:
            found.append(self.fetch(reference).secret)

        threads = [threading.Thread(target=fetch) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert found == [Secret(VALUE)] * 10

    def test_nothing_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        """Not even where everything is, as under mitmproxy."""
        reference = self.put(VALUE)
        with caplog.at_level(logging.DEBUG):
            self.fetch(reference)
        assert VALUE not in caplog.text

    def refused(self, reference: Reference, caplog: pytest.LogCaptureFixture | None = None) -> str:
        """The one line of a refusal, in which no value stands, nor in anything around it."""
        began = time.monotonic()
        with pytest.raises(StoreRefusalError) as caught:
            self.fetch(reference)
        assert time.monotonic() - began < LIMIT_S
        report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        frames = [f for f in report.format() if "/tests/" not in f]
        assert VALUE not in "".join(frames) + (caplog.text if caplog else "")
        assert len(caught.value.why.splitlines()) == 1
        return caught.value.why


class FieldContract:
    """A store whose references name a field."""

    wrong_field: str

    def test_a_wrong_field_is_refused(self) -> None:
        """It is named; the others are not."""
        self.put(VALUE)  # type: ignore[attr-defined]
        why = self.refused(parse_reference(self.wrong_field))  # type: ignore[attr-defined]
        assert "'nope'" in why
        assert "api_key" not in why
