"""Each client is closed once by each ending, in several processes one after the other."""

import asyncio
import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TypeAlias

from benchmarks.clients.closing_server import ClosingServer, Label
from benchmarks.clients.installation import install_from_npm, install_from_pypi
from shim.clients.client_returns import ClientReturns, Ending

Delays: TypeAlias = Mapping[tuple[str, Ending], list[float | None]]
"""By client and ending, a delay (seconds) of each process; None: not back in time."""

_APART = 6.0
"""Seconds between the closes of one process and the start of the next."""

_INSTALL = {"npm": install_from_npm, "PyPI": install_from_pypi}


class MeasurementError(Exception):
    """A client has never connected; the text names the clients."""


async def measure(
    clients: Sequence[ClientReturns], endings: Sequence[Ending], processes: int, wait: float
) -> Delays:
    """Close each client by each ending, and wait so many seconds for it.

    Each of the processes runs all clients of a registry: some libraries draw their delay once a process.
    Raises PackagesUnavailable, MeasurementError.
    """
    server = ClosingServer()
    async with server.running() as address, AsyncExitStack() as stack:
        commands = {
            origin: await asyncio.to_thread(install, chosen)
            for origin, install in _INSTALL.items()
            if (chosen := [client for client in clients if client.origin == origin])
        }
        for number in range(processes):
            labels = [Label(slug(one), ending, number) for one in clients for ending in endings]
            for origin, command in commands.items():
                slugs = {slug(client) for client in clients if client.origin == origin}
                plan = [
                    {"client": label.client, "url": f"{address}/{label}"}
                    for label in labels
                    if label.client in slugs
                ]
                stack.push_async_callback(_stop, await _start(command, plan))
            await _all_closed(server, labels)
            # Most come back within this time, and the next ones shall not disturb them.
            await asyncio.sleep(_APART)
        await asyncio.sleep(max(0.0, wait - _APART))
        await stack.aclose()
    return {
        (client.name, ending): [
            server.delays.get(Label(slug(client), ending, number)) for number in range(processes)
        ]
        for client in clients
        for ending in endings
    }


def slug(client: ClientReturns) -> str:
    """The client's name as it may stand in an address."""
    return client.name.removeprefix("@").replace("/", "-")


async def _start(command: Sequence[str], plan: object) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(plan).encode() + b"\n")
    return process


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


async def _all_closed(server: ClosingServer, labels: Sequence[Label]) -> None:
    """Wait until each client was closed, at most a minute."""
    for _ in range(600):
        if server.closed_at.keys() >= set(labels):
            return
        await asyncio.sleep(0.1)
    missing = sorted({label.client for label in labels if label not in server.closed_at})
    raise MeasurementError(f"these clients have not connected: {', '.join(missing)}")
