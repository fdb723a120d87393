"""The smaller endpoints of the local upstream, and the errors of all."""

import json
import time

import httpx
import pytest


class TestEndpoints:
    def test_echo_leaks_the_credential(self, client: httpx.Client) -> None:
        """The echo gives the secret back in the body and in a header."""
        answer = client.post("/echo", headers={"Authorization": "Bearer s3cret"}, content="hi")
        assert ["authorization", "Bearer s3cret"] in answer.json()["headers"]
        assert answer.json()["body"] == "hi"
        assert answer.headers["x-echo-authorization"] == "Bearer s3cret"

    def test_stream_echo_cuts_the_credential(self, client: httpx.Client) -> None:
        """The secret arrives in pieces of the size asked for."""
        headers = {"x-api-key": "s3cret-key"}
        with client.stream("GET", "/stream-echo?chunk=4", headers=headers) as answer:
            assert list(answer.iter_raw()) == [b"s3cr", b"et-k", b"ey"]
            assert answer.headers["transfer-encoding"] == "chunked"

    def test_ticks_arrive_one_by_one(self, client: httpx.Client) -> None:
        """Every event is on the wire before the next one is made."""
        delays = []
        with client.stream("GET", "/ticks?count=5&interval=100") as answer:
            for line in answer.iter_lines():
                if line:
                    delays.append(time.time() - json.loads(line.removeprefix("data: "))["time"])
        assert len(delays) == 5
        assert max(delays) < 0.05

    @pytest.mark.parametrize("code", [200, 204, 404, 429, 503])
    def test_status(self, client: httpx.Client, code: int) -> None:
        """Any final status can be had."""
        assert client.get(f"/status/{code}").status_code == code

    def test_bytes(self, client: httpx.Client) -> None:
        """A sized answer names its length."""
        answer = client.get("/bytes/100000")
        assert answer.headers["content-length"] == "100000"
        assert len(answer.content) == 100_000

    def test_redirect(self, client: httpx.Client) -> None:
        """The target goes out as it was given."""
        answer = client.get("/redirect", params={"to": "https://elsewhere.test/a?b=c"})
        assert (answer.status_code, answer.headers["location"]) == (
            302,
            "https://elsewhere.test/a?b=c",
        )

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            pytest.param("/nowhere", 404, id="unknown path"),
            pytest.param("/stream-echo?chunk=0", 400, id="pieces of no size"),
            pytest.param("/bytes/many", 400, id="a length that is no number"),
        ],
    )
    @pytest.mark.parametrize("version", [{}, {"anthropic-version": "2023-06-01"}])
    def test_errors_are_json(
        self, client: httpx.Client, path: str, status: int, version: dict[str, str]
    ) -> None:
        """An error has the shape of the provider that the request is meant for."""
        answer = client.get(path, headers=version)
        assert answer.status_code == status
        assert answer.json()["error"]["message"]
        assert answer.json().get("type") == ("error" if version else None)
