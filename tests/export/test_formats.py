"""Every format holds one contract, and each what its own specification asks for."""

import csv
import json
import re
from functools import cache
from typing import Any

import jsonschema
import pytest
from google.protobuf import json_format
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from interlock.ledger.export import FORMATS, Format
from interlock.ledger.export.format import gravity_of
from interlock.ledger.export.sheet import COLUMNS
from tests.export.events import EVENTS, HOSTILE

ONE_LINE_AN_EVENT = [name for name in FORMATS if name != "otlp"]


@pytest.fixture(params=list(FORMATS))
def format_(request: pytest.FixtureRequest) -> Format:
    return FORMATS[request.param]()


def lines(name: str, *events: dict[str, Any]) -> list[str]:
    """What a format makes of events, or of all of ours."""
    return [each.text for each in FORMATS[name]().messages(list(events) or EVENTS)]


class TestEveryFormat:
    """What destinations, cursors and receivers rely on."""

    def test_a_message_is_one_line(self, format_: Format) -> None:
        """Nothing that an agent chose ends a line, or reaches a terminal as a control code."""
        for message in format_.messages(EVENTS):
            assert message.text.isprintable()

    def test_the_same_events_make_the_same_text(self, format_: Format) -> None:
        """So a batch that was cut short is known again."""
        assert list(format_.messages(EVENTS)) == list(format_.messages(EVENTS))

    def test_no_events_make_no_message(self, format_: Format) -> None:
        """A receiver is not bothered with nothing."""
        assert list(format_.messages([])) == []

    def test_every_event_is_in_it(self, format_: Format) -> None:
        """Of every kind, also one that is not known yet."""
        text = "\n".join(message.text for message in format_.messages(EVENTS))
        assert all(f"evt_{number}" in text for number in range(1, len(EVENTS) + 1))

    def test_headers_are_lines_too(self, format_: Format) -> None:
        """What opens a file is one line or nothing, and posts have a media type."""
        assert format_.header == "" or format_.header.isprintable()
        assert "/" in format_.content_type


@pytest.mark.parametrize("name", ONE_LINE_AN_EVENT)
def test_a_line_an_event(name: str) -> None:
    """All formats but OTLP, which has a request a batch."""
    assert len(lines(name)) == len(EVENTS)
    assert len(lines("otlp")) == 1


def test_json_lines_are_the_events() -> None:
    """Whole, hashes included."""
    assert [json.loads(line) for line in lines("jsonl")] == EVENTS


def test_csv_has_the_columns_and_no_formula() -> None:
    """What opens in a spreadsheet runs nothing there."""
    sheet = FORMATS["csv"]()
    header, *rows = csv.reader([sheet.header, *lines("csv")], strict=True)
    assert tuple(header) == COLUMNS
    assert {len(row) for row in rows} == {len(COLUMNS)}
    first = dict(zip(COLUMNS, rows[0], strict=True))
    assert first["time"] == "2023-11-14T22:13:21.250000Z"
    assert (first["host"], first["user"], first["reasons"]) == (
        "api.openai.com:443",
        "ada",
        "no-policy",
    )
    hostile = dict(EVENTS[0], agent='=HYPERLINK("x")')
    (row,) = csv.reader(lines("csv", hostile))
    assert row[COLUMNS.index("agent")] == '\'=HYPERLINK("x")'


@cache
def schema(version: str, class_uid: int) -> jsonschema.Draft202012Validator:
    """The published schema of a class; attributes that it does not know are an error."""
    made = OcsfJsonSchemaEmbedded(get_ocsf_schema(version)).get_class_schema(
        {6003: "api_activity", 3003: "authorize_session"}[class_uid], profiles=[]
    )
    return jsonschema.Draft202012Validator(made)


@pytest.mark.parametrize("version", ["1.5.0", "1.6.0", "1.7.0", "1.8.0"])
def test_ocsf_is_valid(version: str) -> None:
    """Every event fits the published schema of its class, as named and in newer versions."""
    found = [json.loads(line) for line in lines("ocsf")]
    assert {each["class_uid"] for each in found} == {6003, 3003}
    for each in found:
        errors = list(schema(version, each["class_uid"]).iter_errors(each))
        assert [f"{e.json_path}: {e.message}" for e in errors] == []
        assert each["type_uid"] == each["class_uid"] * 100 + each["activity_id"]
        assert each["category_uid"] == each["class_uid"] // 1000


def test_ocsf_would_be_found_wrong() -> None:
    """The schema is one that says no."""
    (good,) = map(json.loads, lines("ocsf", EVENTS[0]))
    for spoilt in (
        {name: value for name, value in good.items() if name != "api"},
        good | {"activity_id": 7},
        good | {"no_such_attribute": 1},
    ):
        assert not schema("1.5.0", 6003).is_valid(spoilt)


def test_ocsf_tells_who_did_what_with_which_result() -> None:
    """A denied chat and an access to a secret, by the words of OCSF."""
    denied, granted = map(json.loads, lines("ocsf", EVENTS[0], EVENTS[2]))
    assert denied["api"]["operation"] == "chat"
    assert denied["actor"]["user"]["name"] == "research-agent"
    assert denied["src_endpoint"] == {"ip": "192.0.2.7"}
    assert denied["dst_endpoint"] == {"hostname": "api.openai.com", "port": 443}
    assert denied["metadata"]["correlation_uid"] == "dec_1"
    assert granted["privileges"] == ["secret_access k"]
    assert granted["session"]["uid"] == "sct_1"


def test_ocsf_tells_what_was_granted_from_what_waits() -> None:
    """A question is no grant; the answer is one, or a denial, and names whose it is."""
    asked, yes, no = map(json.loads, lines("ocsf", EVENTS[5], *EVENTS[16:18]))
    assert {each["class_uid"] for each in (asked, yes, no)} == {3003}
    assert (asked["status_id"], asked["status"], asked["activity_id"]) == (99, "Pending", 99)
    assert [each["status_id"] for each in (yes, no)] == [1, 2]
    assert no["status_detail"] == "once"
    assert {each["user"]["name"] for each in (asked, yes, no)} == {"research-agent"}
    assert {each["privileges"][0] for each in (asked, yes, no)} == {"approval M"}
    assert yes["session"]["uid"] == "dec_1"
    assert yes["actor"]["user"]["name"] == "ada"


@pytest.mark.parametrize("number", [10, 11, 18, 19, 20])
def test_ocsf_says_that_it_failed(number: int) -> None:
    """A gap, a planted key, a proof that does not hold, bad policies, a call that waits."""
    (found,) = map(json.loads, lines("ocsf", EVENTS[number]))
    assert found["status_id"] == 2
    assert found["severity_id"] >= 2


def test_what_is_wrong_with_a_proof_is_a_reason() -> None:
    """In every format that has a place for one; and it weighs as much as a denial."""
    refused = EVENTS[18]
    assert json.loads(lines("ocsf", refused)[0])["status_detail"] == "unknown key"
    assert parse_cef(lines("cef", refused)[0])[1]["reason"] == "unknown key"
    assert gravity_of(refused) == gravity_of({"kind": "decision", "body": {"label": "deny"}})


def test_otlp_is_read_by_the_official_types() -> None:
    """As protobuf's own JSON mapping reads it: times, severities and nested bodies."""
    request = ExportLogsServiceRequest()
    json_format.Parse(lines("otlp")[0], request)
    (resource,) = request.resource_logs
    names = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
    assert names == {"service.name": "interlock", "service.instance.id": "52c74e9f"}
    records = resource.scope_logs[0].log_records
    assert len(records) == len(EVENTS)
    assert records[0].time_unix_nano == 1_700_000_001_250_000_000
    assert (records[0].severity_text, records[0].event_name) == ("INFO2", "interlock.decision")
    body = {pair.key: pair.value for pair in records[0].body.kvlist_value.values}
    assert body["micros"].int_value == 512
    assert body["facts"].kvlist_value.values[2].value.double_value == float(2**70)
    hostile = {pair.key: pair.value.string_value for pair in records[12].attributes}
    assert hostile["interlock.agent"] == HOSTILE


_FIELD = re.compile(r"(?:^| )(\w+)=((?:[^\\=]|\\.)*?)(?= \w+=|$)")


def parse_cef(line: str) -> tuple[list[str], dict[str, str]]:
    """Read a CEF line as its specification says; raises AssertionError."""
    *header, extension = re.split(r"(?<!\\)(?:\\\\)*\|", line, maxsplit=7)
    assert len(header) == 7
    fields = {name: re.sub(r"\\(.)", r"\1", v) for name, v in _FIELD.findall(extension)}
    return header, fields


def test_cef_is_escaped() -> None:
    """A hostile name stays in its field: no field, line or header is added."""
    header, fields = parse_cef(lines("cef", EVENTS[12])[0])
    assert header[:3] == ["CEF:0", "Interlock", "Interlock"]
    assert header[6].isdigit()
    assert set(fields) <= {
        *("rt", "externalId", "deviceExternalId", "cat", "act", "suser", "src", "dhost", "dpt"),
        *("requestMethod", "request", "app", "outcome", "reason", "in", "out", "sntdom"),
        *(f"cs{n}{label}" for n in range(1, 7) for label in ("", "Label")),
        *("cn1", "cn1Label"),
    }
    assert fields["externalId"] == "evt_13"
    assert fields["suser"].startswith("a|b\\c=d\\nInjected: x")
    assert max(map(len, fields.values())) <= 1023


def test_cef_says_what_happened() -> None:
    """By the names of its dictionary."""
    header, fields = parse_cef(lines("cef", EVENTS[0])[0])
    assert header[4:] == ["decision:would_deny", header[5], "4"]
    known = {"suser": "research-agent", "dhost": "api.openai.com", "dpt": "443", "cs3": "q3"}
    assert {name: fields[name] for name in known} == known
    assert (fields["cs3Label"], fields["reason"]) == ("goal", "no-policy")
    assert fields["rt"] == "1700000001250"
