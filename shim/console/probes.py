"""The probes for machines: alive, ready, and the metrics."""

from typing import Any

from aiohttp import web

from shim.console.access.access import Access
from shim.console.api.problems import ApiError, problem
from shim.console.api.responses import json_answer
from shim.console.operations import Operations
from shim.model import seconds


class Health:
    """For the programs that start and stop the process; no token is needed."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def healthz(self, request: web.Request) -> web.Response:
        return json_answer({"status": "ok"})

    async def readyz(self, request: web.Request) -> web.Response:
        """Ready also while ledger or flags file have a problem: connections do not depend on them.

        The problem of the flags file is left out, because it may name a user.
        """
        operations = self._operations
        if operations.shim.draining:
            return json_answer({"status": "draining"}, status=503)
        answer: dict[str, Any] = {"status": "ready"}
        if (flags := operations.assembly.flags) is not None:
            age = seconds(operations.shim.clock() - flags.loaded_at)
            answer["flags"] = {
                "digest": flags.digest,
                "age": age,
                "refused": flags.problem is not None,
            }
        if problem := operations.assembly.records.ledger.status().problem:
            answer["ledger"] = problem
        return json_answer(answer)


class MetricsPage:
    """`/metrics`, for visitors who may read."""

    def __init__(self, operations: Operations, access: Access) -> None:
        self._assembly = operations.assembly
        self._access = access

    async def show(self, request: web.Request) -> web.Response:
        try:
            self._access.reader(request)
        except ApiError as error:
            return problem(error)
        content_type, body = self._assembly.records.metrics.render(
            request.headers.get("Accept", "")
        )
        return web.Response(body=body, headers={"Content-Type": content_type})
