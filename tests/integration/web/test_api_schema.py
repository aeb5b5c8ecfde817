"""The API's document against the API: generated requests find no bug, and no undocumented answer."""

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core.transport import Response

from integration.web.inside import inside
from stoker.model.access import Role
from stoker.web.api.app import operations
from stoker.web.ogc.definition import all_resources
from unit.project.test_acceptance import LAB

EXAMPLES = int(os.environ.get("STOKER_EXAMPLES", "15"))  # `make conformance` takes more
CHECKS = [
    schemathesis.checks.not_a_server_error,
    schemathesis.checks.status_code_conformance,
    schemathesis.checks.content_type_conformance,
    schemathesis.checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with inside(tmp_path_factory.mktemp("schema"), toml=LAB) as found:
        found.project.push("records", ["one", "two"])
        found.admin = found.client(token=found.token(Role.ADMIN.word))
        document = found.client().get("/api/v1/openapi.json").json()
        found.schema = schemathesis.openapi.from_dict(document)
        standard = found.client().get("/api", headers={"accept": "application/json"}).json()
        found.standard = schemathesis.openapi.from_dict(standard)
        yield found


@pytest.mark.parametrize(
    ("path", "method"),
    [pytest.param(o.path, o.method, id=f"{o.method} {o.path}") for o in operations()],
)
def test_generated_requests_get_documented_answers(lab, path, method):
    ask(lab.admin, lab.schema[path][method], "http://127.0.0.1:8420/api/v1")


@pytest.mark.parametrize(
    ("path", "method"),
    [
        pytest.param(resource.path, method, id=f"{method} {resource.path}")
        for resource in all_resources()
        for method in resource.methods
    ],
)
def test_the_standards_part_is_as_its_definition_says(lab, path, method):
    ask(lab.admin, lab.standard[path][method], "http://127.0.0.1:8420")


def ask(client, operation, base):
    """Send generated requests, each of which has to get an answer that the document has."""

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def send(case):
        asked = case.as_transport_kwargs(base_url=base)
        asked.pop("cookies", None)
        headers = {str(name): str(value) for name, value in asked.pop("headers", {}).items()}
        headers.pop("Authorization", None)
        answer = client.request(
            asked.pop("method"), asked.pop("url"), headers=headers,
            params=asked.pop("params", None), json=asked.pop("json", None),
            content=asked.pop("data", None),
        )  # fmt: skip
        case.validate_response(Response.from_httpx(answer, verify=False), checks=CHECKS)

    send()
