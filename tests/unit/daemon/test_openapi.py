"""The written interface: whole, valid in itself, and the same as the code."""

import json
import re
from pathlib import Path
from typing import Any

from banger.api.routes import ROUTES, structure
from banger.config import reference
from banger.daemon import openapi
from banger.daemon.app import handler

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference"


def test_every_row_has_a_handler_and_an_operation() -> None:
    document = openapi.document()
    operations = [each["operationId"] for path in document["paths"].values() for each in path.values()]
    assert sorted(operations) == sorted(route.name for route in ROUTES)
    for route in ROUTES:
        assert callable(handler(route)), route.name
        assert structure(route.request)
        assert structure(route.reply)


def test_every_query_parameter_is_described() -> None:
    assert {name for route in ROUTES for name in route.query} == set(openapi.QUERY)


def test_every_reference_leads_to_a_schema() -> None:
    document = openapi.document()
    schemas: dict[str, Any] = document["components"]["schemas"]
    found = set(re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(document)))
    assert found <= set(schemas)
    assert {"CreateVm", "Operation", "ErrorBody", "ExecEvent", "ExecInput", "ExecVm"} <= set(schemas)


def test_requests_refuse_what_they_do_not_know() -> None:
    assert openapi.document()["components"]["schemas"]["CreateVm"]["additionalProperties"] is False


def test_changes_answer_202() -> None:
    paths = openapi.document()["paths"]
    assert "202" in paths["/v1/vms"]["post"]["responses"]
    assert "200" in paths["/v1/vms"]["get"]["responses"]
    assert "101" in paths["/v1/vms/{ref}/exec"]["get"]["responses"]


def test_the_pages_in_the_tree_are_those_that_the_code_makes() -> None:
    for name, made in (
        ("openapi.json", openapi.text()),
        ("http.md", openapi.page()),
        ("config.md", reference.page()),
    ):
        assert (REFERENCE / name).read_text() == made, f"docs/reference/{name} is stale: run 'make docs'"
