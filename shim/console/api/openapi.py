"""The OpenAPI 3.1 document, made from the endpoints' own types."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from shim import __version__
from shim.console.access.access import COOKIE, CSRF_HEADER
from shim.console.api.endpoints import Endpoint
from shim.console.api.responses import PROBLEM_TYPE, ProblemAnswer
from shim.ledger.json_record import answer_schema

_REFERENCE = "#/components/schemas/{name}"


def openapi(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The document; every answer, filter and body in it is checked against the same types here."""
    answers = [ProblemAnswer, *(endpoint.answer for endpoint in endpoints)]
    bodies = [endpoint.body for endpoint in endpoints if endpoint.body is not None]
    _, answered = msgspec.json.schema_components(answers, ref_template=_REFERENCE)
    _, components = msgspec.json.schema_components(bodies, ref_template=_REFERENCE)
    components |= {name: answer_schema(schema) for name, schema in answered.items()}
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Migration shim",
            "version": __version__,
            "description": "Everything needs a token or a login, every change the operator's. Viewers see "
            "keyed hashes of users.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "login": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": f"Changes want the header {CSRF_HEADER}, too.",
                },
            },
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    security: list[dict[str, list[str]]] = [{"token": []}, {"login": []}]
    if endpoint.body is None:
        security.append({})
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__name__,
        "summary": endpoint.handler.__doc__,
        "security": security,
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in re.findall(r"{(\w+)}", endpoint.path)
            ),
            *_filters(endpoint.query),
        ],
        "responses": {
            "200": {
                "description": "The answer",
                "content": {"application/json": {"schema": _schema(endpoint.answer)}},
            },
            "default": {
                "description": "An error",
                "content": {PROBLEM_TYPE: {"schema": _schema(ProblemAnswer)}},
            },
        },
    }
    if endpoint.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _schema(endpoint.body)}},
        }
    return operation


def _schema(part: Any) -> Any:
    (schema,), _ = msgspec.json.schema_components([part], ref_template=_REFERENCE)
    return schema


def _filters(query: type[msgspec.Struct]) -> list[dict[str, Any]]:
    filters = []
    for field in msgspec.structs.fields(query):
        (schema,), components = msgspec.json.schema_components([field.type])
        # A filter that is left out is null; one that is there never is.
        choices = schema.get("anyOf", [schema])
        (schema,) = (choice for choice in choices if choice != {"type": "null"})
        # Filters are plain words and numbers: what is referred to is written out.
        if "$ref" in schema:
            schema = components[schema["$ref"].rsplit("/", 1)[1]]
        schema = {key: value for key, value in schema.items() if key != "title"}
        if field.default is not msgspec.NODEFAULT and field.default is not None:
            schema["default"] = field.default
        filters.append(
            {"name": field.name, "in": "query", "required": field.required, "schema": schema}
        )
    return filters
