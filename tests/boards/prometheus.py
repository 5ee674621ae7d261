"""A real Prometheus on a temporary folder, and the expressions of the boards and alerts."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.live.servers import SECRETS
from tests.support import skip
from tests.telemetry.collectors import unused_port
from tests.waiting import until

ROOT = Path(__file__).parent.parent.parent
CONFIG = ROOT / "config" / "prometheus"
BOARDS = sorted((ROOT / "config" / "grafana").glob("*.json"))
_VARIABLES = {
    "$job": "shim",
    "$connection_kind": "(glasses|app)",
    "$window": "5m",
    "$__rate_interval": "15s",
}


def program(name: str) -> str:
    """Where `prometheus` or `promtool` is."""
    found = shutil.which(name)
    return found or skip(f"there is no {name} (on Debian: apt-get install prometheus)")


def promtool(*arguments: str | Path, stdin: bytes | None = None) -> tuple[int, str]:
    """Exit code and everything that it says."""
    done = subprocess.run(
        [program("promtool"), *map(str, arguments)],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
    )
    return done.returncode, done.stdout.decode()


def rules() -> Iterator[dict[str, Any]]:
    """The rules of alerts.yml: those with `alert`, and those with `record`."""
    for group in yaml.safe_load((CONFIG / "alerts.yml").read_text())["groups"]:
        yield from group["rules"]


def board_expressions(board: Path) -> Iterator[tuple[str, str]]:
    """Of panels and annotations: where it stands, and the expression with its variables filled in."""
    content = json.loads(board.read_text())
    for annotation in content["annotations"]["list"]:
        yield f"{board.name}: {annotation['name']}", _filled(annotation["expr"])
    for panel in content["panels"]:
        for target in panel.get("targets", ()):
            yield f"{board.name}: {panel['title']}", _filled(target["expr"])


def rule_expressions() -> Iterator[tuple[str, str]]:
    """Comparisons answer 0 or 1 here, so that an alert that is silent has data as well."""
    for rule in rules():
        name = rule.get("alert") or rule["record"]
        yield name, re.sub(r"(==|!=|<=|>=|<|>)(?=\s)", r"\1 bool", rule["expr"])


def _filled(expr: str) -> str:
    for name, value in _VARIABLES.items():
        expr = expr.replace(name, value)
    assert "$" not in expr, expr
    return expr


class Prometheus:
    """Its HTTP API."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url

    async def get(self, path: str, **query: str) -> Any:
        """What `/api/v1/…` answers."""
        async with self._http.get(f"{self._url}/api/v1/{path}", params=query) as answer:
            body = await answer.json()
        assert body["status"] == "success", (query, body)
        return body["data"]

    async def has_data(self, expr: str) -> bool:
        return bool((await self.get("query", query=expr))["result"])

    async def has_scraped(self, targets: int) -> bool:
        """Whether each of so many targets has been scraped; False while it does not answer."""
        try:
            return await self.has_data(f"sum(up) == {targets}")
        except (aiohttp.ClientConnectionError, aiohttp.ContentTypeError):
            return False


@asynccontextmanager
async def prometheus(
    folder: Path, targets: Sequence[str], http: aiohttp.ClientSession
) -> AsyncIterator[Prometheus]:
    """With the committed configuration, but these targets, and everything each second."""
    config = yaml.safe_load((CONFIG / "prometheus.yml").read_text())
    times = ("scrape_interval", "scrape_timeout", "evaluation_interval")
    config["global"] |= dict.fromkeys(times, "1s")
    config["rule_files"] = [str(CONFIG / name) for name in config["rule_files"]]
    (job,) = config["scrape_configs"]
    job["static_configs"] = [{"targets": list(targets)}]
    job["authorization"]["credentials"] = SECRETS.operator_token
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{unused_port()}"
    command = [
        program("prometheus"),
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--enable-feature=exemplar-storage",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    prom = Prometheus(http, f"http://{address}")
    try:
        # What a counter says first is no increase: nothing may happen before that.
        async def has_scraped() -> bool:
            assert process.returncode is None, (folder / "prometheus.log").read_text()
            return await prom.has_scraped(len(targets))

        await until(has_scraped, pause=0.1)
        yield prom
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
