"""The clients in a process of their own (`python -m shim.demo.client_main`).

On stdin comes the plan, a line of JSON. A second line ends the process; so does the end of stdin, so that
no client outlives the demo. On stdout goes what happens to each client, a line of JSON each,
{"client": number, "event": "survived"}. Events:

    open        connected, and acknowledged by the server; `process` is the number of its address
    end         a connection ended; `how`: a close code (1006: without a close), `left`, or `open`;
                `answering`: the client answered pings at that time
    survived    a silence ended before anybody closed the connection
    away        the client will not connect again
    error       connecting failed, or something unforeseen happened: `text`

and about no client {"event": "lag", "seconds": s}: the longest time for which this process did not run.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import aiohttp

from shim.demo.demo_client import ClientContext, DemoClient

_LAG_CHECK = 0.05
_LEAST_LAG = 0.25
_STOP_TIMEOUT = 5.0


def report(body: Mapping[str, Any]) -> None:
    """Tell the process that started this one, in a line of JSON."""
    sys.stdout.write(json.dumps(body) + "\n")
    sys.stdout.flush()


async def _measure_lag() -> None:
    """Report each new longest time for which this process did not run."""
    loop = asyncio.get_running_loop()
    worst = _LEAST_LAG
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
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        context = ClientContext(plan["urls"], plan["factor"], http)
        clients = [
            DemoClient(context, client, partial(_report_about, number)).run()
            for number, client in enumerate(plan["clients"])
        ]
        tasks = [asyncio.create_task(work) for work in (_measure_lag(), *clients)]
        told = await stdin.readline()
        for task in tasks:
            task.cancel()
        if told:
            await asyncio.wait(tasks, timeout=_STOP_TIMEOUT)


def _report_about(number: int, event: Mapping[str, Any]) -> None:
    report({"client": number, **event})


if __name__ == "__main__":
    try:
        asyncio.run(_main())
    except BrokenPipeError:
        # The demo has ended; there is no reader any more.
        sys.exit(1)
