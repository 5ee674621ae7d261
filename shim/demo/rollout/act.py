"""Act two: a server with a flags file, its clients, and an operator."""

import asyncio

from shim.demo.production import ACT_ONE, Production
from shim.demo.rollout.checks import Evidence, judge
from shim.demo.rollout.play import Play
from shim.demo.rollout.record import read_record
from shim.demo.rollout.scenario import flags_file, new_release, old_release, settings_value
from shim.demo.rollout.steps import STEPS
from shim.demo.rollout.summary import RolloutSummary
from shim.demo.rollout.view import RolloutView
from shim.demo.screen import Screen
from shim.demo.serving import serve
from shim.demo.story import Stories
from shim.demo.waiting import unless

_PATIENCE = 30.0
_PATIENCE_OF_THE_SEED = 300.0
"""A step may take so many seconds of this machine, and so many of the seed besides."""

_FORESEEN = ("flags: refused", "brake engaged", "brake released", "the guard holds")
"""Errors in the log that belong to the story."""

_HUNG_UP = "ClientConnectionResetError"
"""So does this one: a client of the withdrawn release went in the middle of its handshake."""


async def play_act_two(production: Production) -> RolloutSummary | None:
    """Play it, and judge; server and fleet are gone then. None: it was interrupted."""
    options = production.options
    flags = production.folder / "rollout.yaml"
    flags.write_bytes(flags_file())
    fleet, newcomers = old_release(options.users), new_release(options.users)
    stories = Stories([*fleet, *newcomers])
    old, new = stories.by_client[: len(fleet)], stories.by_client[len(fleet) :]
    ledger = f"{production.folder}/rollout.db"
    settings = settings_value(options.factor, ledger, options.trace_url)
    log = production.log
    earlier = len(log.errors)
    async with serve(settings, [stories], flags) as served, production.crew(old, served) as crew:
        length = options.seconds * (1 - ACT_ONE)
        play = Play(
            served,
            flags,
            old,
            production.crew(new, served),
            seconds=length,
            patience=_PATIENCE + _PATIENCE_OF_THE_SEED / options.factor,
        )
        view = RolloutView(
            served, play, stories, log.lines, options.factor, length, production.console
        )
        async with Screen(view, production.console):
            done = await unless(play.run(STEPS), production.interrupted.wait(), crew.died())
        if production.interrupted.is_set():
            return None
        record = await asyncio.to_thread(read_record, served)
        evidence = Evidence(play.marks, record, old, new, served.shim.driver.pauses)
    objections = [] if done else ["the fleet's process ended"]
    objections += stories.failures
    objections += [
        f"in the log: {line}"
        for line in log.errors[earlier:]
        if not line.startswith(_FORESEEN) and _HUNG_UP not in line
    ]
    findings = judge(evidence)
    return RolloutSummary(record, findings, tuple(objections), crew.lag, options.factor)
