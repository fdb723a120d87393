"""AWS Secrets Manager, as moto speaks it on a real socket."""

import json
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

from broker import Secret
from broker.stores import Reference, Stores, aws, parse_reference
from tests.broker.stores.contract import VALUE, FieldContract, StoreContract
from tests.broker.stores.servers import Mute

KEY = parse_reference("aws:prod/openai#api_key")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class TestAws(FieldContract, StoreContract):
    missing = "aws:prod/nothing"
    wrong_field = "aws:prod/openai#nope"

    @pytest.fixture
    def filled(self, address: str, monkeypatch: pytest.MonkeyPatch) -> Stores:
        for name, value in {
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": address,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "eu-central-1",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        self.client = boto3.client("secretsmanager")
        return Stores({})

    def put(self, value: str) -> Reference:
        self.whole("prod/openai", json.dumps({"api_key": value}))
        return KEY

    def whole(self, name: str, text: str) -> Reference:
        known = {secret["Name"] for secret in self.client.list_secrets()["SecretList"]}
        if name in known:
            self.client.put_secret_value(SecretId=name, SecretString=text)
        else:
            self.client.create_secret(Name=name, SecretString=text)
        return parse_reference(f"aws:{name}")

    def test_a_secret_may_be_whole_and_named_by_its_arn(self) -> None:
        """Without a field, all of the text is the value."""
        self.whole("plain", VALUE)
        arn = self.client.describe_secret(SecretId="plain")["ARN"]
        for name in ("plain", arn):
            assert self.fetch(parse_reference(f"aws:{name}")).secret == Secret(VALUE)

    def test_a_field_of_what_has_none_is_refused(self) -> None:
        """And the text is not quoted."""
        self.whole("plain", VALUE)
        assert "not a JSON object" in self.refused(parse_reference("aws:plain#api_key"))

    @pytest.mark.parametrize(
        ("variable", "value", "why"),
        [
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://192.0.2.1", "use https"),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:9", "no answer from AWS"),
            ("AWS_DEFAULT_REGION", None, "NoRegionError"),
        ],
        ids=["in the clear", "nobody there", "no region"],
    )
    def test_what_is_wrong_is_said(
        self, variable: str, value: str | None, why: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One line that tells an operator what to do."""
        if value is None:
            monkeypatch.delenv(variable)
        else:
            monkeypatch.setenv(variable, value)
        assert why in self.refused(KEY)

    def test_a_server_that_does_not_answer_hits_the_limit(
        self, mute: Mute, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One request at most five seconds, shorter here; two of them in all."""
        assert aws.TIME_LIMIT_S == 5
        monkeypatch.setattr(aws, "TIME_LIMIT_S", 1.0)
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", mute.address)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tests.broker.stores.contract.LIMIT_S", 5.0)
            assert "no answer from AWS" in self.refused(KEY)
