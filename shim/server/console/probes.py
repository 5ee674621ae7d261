"""What machines ask: is it alive, is it ready, and the metrics."""

from aiohttp import web

from shim.server.console.access import Access
from shim.server.console.operations import Operations
from shim.server.console.problems import Refusal, not_found, problem
from shim.server.console.responses import json_answer


class Health:
    """For whoever starts and stops the process: open to all."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def healthz(self, request: web.Request) -> web.Response:
        return json_answer({"status": "ok"})

    async def readyz(self, request: web.Request) -> web.Response:
        """Ready also while the ledger has a problem: connections do not depend on it."""
        if self._operations.shim.draining:
            return json_answer({"status": "draining"}, status=503)
        status = self._operations.ledger_status
        problem = None if status is None else status().problem
        if problem is None:
            return json_answer({"status": "ready"})
        return json_answer({"status": "ready", "ledger": problem})


class MetricsPage:
    """`/metrics`, for those who may read."""

    def __init__(self, operations: Operations, access: Access) -> None:
        self._render = operations.metrics
        self._access = access

    async def show(self, request: web.Request) -> web.Response:
        try:
            self._access.reader(request)
            if self._render is None:
                raise not_found("there are no metrics here")
        except Refusal as refusal:
            return problem(refusal)
        content_type, body = self._render(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})
