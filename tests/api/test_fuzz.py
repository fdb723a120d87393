"""Whatever is sent to the API, it answers as its OpenAPI document says, and never with 500."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.api.service import Service

# Of each operation in either way: few in `make test`, more in `make fuzz`.
EXAMPLES = 15 if settings.get_current_profile_name() == "fuzz" else 2
# Of these a schema cannot say all that is asked: names in Cedar and SPIFFE, URLs, policies.
BEYOND = {
    *("POST /authorize", "POST /policies/analyze", "POST /policies"),
    *("POST /delegations/keys", "POST /issuers", "POST /identities", "DELETE /identities"),
    *("POST /api/v1/servers/register", "POST /mcp-servers", "PUT /mcp-servers/{id}"),
}
schemathesis.openapi.format(
    "line", st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "))
)
bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder: Path = tmp_path_factory.mktemp("fuzzed")
    with Service(folder / "home") as service:
        # Every operation is tried without a proof too, which is more than a guesser may.
        service.app.state.api.throttle.failed = lambda _: 0.0
        yield service


def operations(service: Service) -> Iterator[schemathesis.APIOperation]:
    """Every operation of the document."""
    schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    for found in schema.get_all_operations():
        yield found.ok()


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
def test_no_answer_breaks_the_contract(fuzzed: Service, mode: schemathesis.GenerationMode) -> None:
    """Every operation, by what fits its schema and by what does not, for an admin."""
    headers = {"Authorization": f"Bearer {fuzzed.keys['admin']}"}
    tried = set()
    for operation in operations(fuzzed):

        @bounded
        @given(case=operation.as_strategy(generation_mode=mode))
        def probe(case: schemathesis.Case) -> None:
            tried.add(case.operation.label)
            beyond = [positive_data_acceptance] if case.operation.label in BEYOND else []
            case.call_and_validate(headers=headers, excluded_checks=beyond, timeout=30)

        # Of some operations there is nothing that could be wrong.
        with contextlib.suppress(Unsatisfiable):
            probe()
    assert len(tried) > 30
    assert tried >= BEYOND
