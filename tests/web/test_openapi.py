"""The OpenAPI document is valid, and the API does what it says, whatever it is asked."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
)

from shim.model import Stage
from tests.live.servers import app_client
from tests.waiting import until
from tests.web.servers import OPERATOR, console

pytestmark = pytest.mark.real


class Running:
    """A console in a loop and thread of its own, with something to answer about."""

    def __init__(self, folder: Path) -> None:
        self.url = ""
        self.document: dict[str, Any] = {}
        self._ready, self._done = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(folder)))

    def __enter__(self) -> "Running":
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(30)

    async def _run(self, folder: Path) -> None:
        async with console(folder, Stage.LIVE) as it, aiohttp.ClientSession() as http:
            # Nobody reads from them: they are silent, and time out.
            clients = [
                await app_client(http, it.url, f"user-{number}@example.com", autoping=False)
                for number in range(3)
            ]
            await until(lambda: it.shim.assembly.tally.verdicts.total() >= 3)
            clients += [await app_client(http, it.url, "alice@example.com")]
            assert it.shim.assembly.records.ledger.flush(10)
            async with http.get(f"{it.url}/api/openapi.json", headers=OPERATOR) as answer:
                self.document = await answer.json()
            self.url = it.url
            self._ready.set()
            await asyncio.to_thread(self._done.wait)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("console")) as it:
        yield it


def test_the_document_is_valid(running: Running) -> None:
    OpenAPIV31SpecValidator(running.document).validate()
    assert len(running.document["paths"]) >= 11


def undescribed(answer: Any, schema: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    """The values in an answer of which the document says nothing."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if isinstance(answer, list) and "items" in schema:
        for item in answer:
            yield from undescribed(item, schema["items"], document)
    elif isinstance(answer, dict) and "properties" in schema:
        for name, value in answer.items():
            if name in schema["properties"]:
                yield from undescribed(value, schema["properties"][name], document)
            else:
                yield name
    elif answer is not None:
        for choice in schema.get("anyOf", ()):
            yield from undescribed(answer, choice, document)


def test_the_api_does_what_its_document_says(running: Running) -> None:
    schema = schemathesis.openapi.from_dict(running.document)
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) >= 12
    answered: set[tuple[str, int]] = set()

    @settings(
        max_examples=250,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of([operation.as_strategy() for operation in operations]))
    def ask(case: Any) -> None:
        response = case.call(base_url=running.url, headers=OPERATOR)
        case.validate_response(
            response,
            checks=[not_a_server_error, content_type_conformance, response_schema_conformance],
            excluded_checks=[],
        )
        answered.add((case.operation.label, response.status_code))
        described = running.document["paths"][case.operation.path][case.operation.method]
        if response.status_code == 200:
            (content,) = described["responses"]["200"]["content"].values()
            assert not [*undescribed(response.json(), content["schema"], running.document)]

    ask()
    assert {status for _, status in answered} >= {200, 404}
