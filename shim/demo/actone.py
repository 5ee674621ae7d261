"""Act one: every behaviour at every stage, and what had to happen to each."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp

from shim.demo.checks import Totals, judge, judge_report
from shim.demo.crew import Crew
from shim.demo.mismatch import Mismatch, find_mismatch
from shim.demo.production import ACT_ONE, Production
from shim.demo.scenario import ROLLOUT, cast, settings_value
from shim.demo.screen import Screen
from shim.demo.serving import Served, serve
from shim.demo.story import Stories
from shim.demo.summary import Summary
from shim.demo.view import View
from shim.demo.waiting import unless
from shim.settings import parse_flags


@dataclass(frozen=True, slots=True)
class ActOne:
    served: Served
    crew: Crew
    summary: Summary
    mismatch: Mismatch | None


async def play_act_one(stack: AsyncExitStack, production: Production) -> ActOne | None:
    """Play it; server and fleet last as long as the stack. None: it was interrupted."""
    options = production.options
    rollout = parse_flags(ROLLOUT.encode(), "the demo's rollout")
    stories = Stories(cast(options.users, lambda user: rollout.evaluate(user).stage))
    settings = settings_value(options.factor, f"{production.folder}/ledger.db", options.trace_url)
    served = await stack.enter_async_context(serve(settings, [stories], rollout, options.port))
    crew = await stack.enter_async_context(production.crew(stories.by_client, served))
    length = options.seconds * ACT_ONE
    view = View(served, stories, production.log.lines, options.factor, length, production.console)
    async with Screen(view, production.console):
        await unless(asyncio.sleep(length), production.interrupted.wait(), crew.died())
    if production.interrupted.is_set():
        return None
    summary = await _summarise(production, crew, stories, served)
    return ActOne(served, crew, summary, await find_mismatch(served))


async def _summarise(
    production: Production, crew: Crew, stories: Stories, served: Served
) -> Summary:
    """Ask the fleet and the server, and judge."""
    objections: list[str] = []
    try:
        await crew.thaw()
    except (TimeoutError, ConnectionError):
        objections.append("the fleet did not answer")
    before = Totals.of(stories.by_client)
    async with aiohttp.ClientSession() as http, http.get(f"{served.url}api/report") as answer:
        report = await answer.json()
    objections += judge_report(report, before, Totals.of(stories.by_client))
    objections += stories.failures
    objections += [f"in the log: {line}" for line in production.log.errors]
    factor = production.options.factor
    results = judge(stories.by_client, factor, served.shim.driver.pauses)
    return Summary(results, report, tuple(objections), crew.lag, factor)
