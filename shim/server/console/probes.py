"""What machines ask: is it alive, is it ready, and the metrics."""

from aiohttp import web

from shim.server.console.access import Access
from shim.server.console.operations import Operations
from shim.server.console.problems import Refusal, not_found, problem
from shim.server.console.responses import json_answer


class Probes:
    def __init__(self, operations: Operations, access: Access) -> None:
        self._operations = operations
        self._access = access

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/healthz", self.healthz)
        app.router.add_get("/readyz", self.readyz)
        app.router.add_get("/metrics", self.metrics)

    async def healthz(self, request: web.Request) -> web.Response:
        return json_answer({"status": "ok"})

    async def readyz(self, request: web.Request) -> web.Response:
        """Ready also while the ledger has a problem: connections do not depend on it."""
        if self._operations.shim.draining:
            return json_answer({"status": "draining"}, status=503)
        status = self._operations.ledger_status
        trouble = None if status is None else status().problem
        return json_answer({"status": "ready"} if trouble is None else _degraded(trouble))

    async def metrics(self, request: web.Request) -> web.Response:
        try:
            self._access.reader(request)
            if self._operations.metrics is None:
                raise not_found("there are no metrics here")
        except Refusal as refusal:
            return problem(refusal)
        content_type, body = self._operations.metrics(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})


def _degraded(trouble: str) -> dict[str, str]:
    return {"status": "ready", "ledger": trouble}
