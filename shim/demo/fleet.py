"""The fleet: the demo's clients in a process of their own (`python -m shim.demo.fleet`).

On stdin comes the plan, a line of JSON, and then commands, a line each: `thaw` wakes the frozen
clients, `stop` ends it; so does the end of stdin, so that no fleet outlives its demo. On stdout
goes what happens to each client, a line of JSON each, {"client": number, "event": "open"}. Events:

    open        connected, and acknowledged by the server
    end         a connection ended; `how`: a close code (1006: without a close), `left`, or `open`
    survived    a silence ended before anybody closed the connection
    away        will not reconnect
    error       something unforeseen: `text`

and about no client {"event": "thawed"} and {"event": "lag", "seconds": s}: the longest time for
which this process did not run.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import aiohttp

from shim.demo.member import Fleet, Member

_LAG_CHECK = 0.05
_STOP_TIMEOUT = 5.0


def report(body: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(body) + "\n")
    sys.stdout.flush()


async def _lag() -> None:
    """Report each new longest time for which this process did not run."""
    loop = asyncio.get_running_loop()
    worst = 0.25
    while True:
        before = loop.time()
        await asyncio.sleep(_LAG_CHECK)
        lag = loop.time() - before - _LAG_CHECK
        if lag > worst:
            worst = lag
            report({"event": "lag", "seconds": round(lag, 3)})


async def _main() -> None:
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    plan = json.loads(await stdin.readline())
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        fleet = Fleet(plan["host"], plan["port"], plan["factor"], http, asyncio.Event())
        tasks = [asyncio.create_task(_lag())]
        frozen = []
        for number, client in enumerate(plan["clients"]):
            member = Member(fleet, client, partial(_about, number))
            task = asyncio.create_task(member.run())
            tasks.append(task)
            if client["behaviour"] == "frozen":
                frozen.append(task)
        while (command := (await stdin.readline()).strip()) == b"thaw":
            fleet.thaw.set()
            await asyncio.wait(frozen)
            report({"event": "thawed"})
        for task in tasks:
            task.cancel()
        if command == b"stop":
            await asyncio.wait(tasks, timeout=_STOP_TIMEOUT)


def _about(number: int, event: Mapping[str, Any]) -> None:
    report({"client": number, **event})


if __name__ == "__main__":
    try:
        asyncio.run(_main())
    except BrokenPipeError:
        # The demo has gone; nobody is left to be told.
        sys.exit(1)
