"""Processes that answer commands, a line of JSON each, on their standard input and output."""

import asyncio
import json
import os
import resource
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

Command = dict[str, Any]
Answer = Callable[[Command], Awaitable[Command]]


@asynccontextmanager
async def child(module: str, *arguments: str) -> AsyncIterator[Answer]:
    """A process of this package that answers until its stdin ends. `seconds` is how long it may take."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"benchmarks.{module}", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None

    async def ask(command: Command) -> Command:
        stdin.write(json.dumps(command).encode() + b"\n")
        async with asyncio.timeout(120 + command.get("seconds", 0)):
            line = await stdout.readline()
        if not line:
            raise RuntimeError(f"{module} has ended")
        answer: Command = json.loads(line)
        return answer

    try:
        yield ask
    finally:
        stdin.close()
        try:
            async with asyncio.timeout(20):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def answer(commands: Mapping[str, Answer]) -> None:
    """What such a process does: `do` names the command."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = json.loads(line)
        print(json.dumps(await commands[command["do"]](command)), flush=True)


def run_child(
    main: Coroutine[Any, Any, None],
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> None:
    """Run it and end the process without taking a hundred thousand objects apart."""
    raise_limit()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main)
        sys.stdout.flush()
        os._exit(0)


def raise_limit() -> int:
    """Allow as many open files as may be allowed, and say how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return 1 << 20 if hard == resource.RLIM_INFINITY else hard
