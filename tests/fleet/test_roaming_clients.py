"""R24 with a round robin, real processes, and clients that write down what happens to them."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from shim.model.ledger_url import LedgerUrl
from tests.fleet.outcome_check import audit, compare_outcomes, wait_until_concluded
from tests.fleet.real_fleet import QUICK_TIMES, ask, real_fleet, round_robin, settings_of
from tests.fleet.roaming import roaming
from tests.live.servers import ServerProcess
from tests.postgres.helpers import eventually

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]


async def test_the_store_says_what_the_clients_wrote_down(store: LedgerUrl, tmp_path: Path) -> None:
    audit(store)
    async with (
        real_fleet(tmp_path, store, "abc", settings=settings_of(QUICK_TIMES)) as processes,
        round_robin(processes) as proxy,
        roaming(120, proxy.port, QUICK_TIMES, seconds=4, arrival=1, seed=1) as log,
    ):
        await wait_until_concluded(store)
        log.standstills.append(await proxy.standstills())
        report = compare_outcomes(store, log, QUICK_TIMES)
        # Each process tells the outcomes of its own actions, each once.
        await eventually(partial(told, processes), (report.outcomes,))
    assert not report.differences, "\n".join(report.differences)
    assert len(report.delays.delays) == report.returns
    assert log.failed == []
    assert report.doubtful < len(log.stays) / 2
    assert {result for _, result in report.outcomes} == {"returned", "replaced", "lost"}
    assert report.is_complete, report.figures()


async def told(processes: Sequence[ServerProcess]) -> Counter[tuple[str, str]]:
    """How many outcomes all processes together have told, by role and result."""
    outcomes: Counter[tuple[str, str]] = Counter()
    for process in processes:
        report = (await ask(process, "/api/report"))["process"]
        for role, results in report["outcomes"].items():
            for result in ("returned", "replaced", "lost", "censored"):
                outcomes[role, result] += results[result]
    return +outcomes
