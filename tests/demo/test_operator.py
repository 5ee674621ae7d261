"""The operator's steps: they are taken one after the other, and the flags file is followed."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from shim.demo.client_history import ClientHistories
from shim.demo.demo_clients import demo_clients
from shim.demo.demo_run import unless
from shim.demo.demo_service import demo_service
from shim.demo.demo_settings import FACTOR, flags_file, settings_value
from shim.demo.operator import Operator
from shim.demo.step_taker import RolloutStep


async def _wait(operator: Operator) -> None: ...


def step(title: str, *, reached: bool) -> RolloutStep[Operator]:
    return RolloutStep(title, "something", "", 0, _wait, lambda operator: reached)


@pytest.fixture
def flags(tmp_path: Path) -> Path:
    file = tmp_path / "rollout.yaml"
    file.write_bytes(flags_file())
    return file


@pytest.mark.real
async def test_after_a_step_that_is_not_reached_no_other_is_taken(flags: Path) -> None:
    histories = ClientHistories(demo_clients(36))
    settings = settings_value(FACTOR, str(flags.parent / "ledger.db"))
    steps = [
        step("first", reached=True),
        step("second", reached=False),
        step("third", reached=True),
    ]
    async with demo_service(settings, [histories], flags) as service:
        operator = Operator(service, flags, histories, seconds=1, patience=0.1)
        await operator.take(steps)
    assert [progress.step.title for progress in operator.progress] == ["first", "second"]
    assert operator.progress[0].took is not None
    assert operator.progress[1].took is None


@pytest.mark.real
async def test_the_flags_file_is_followed_and_a_truncated_one_is_not(flags: Path) -> None:
    settings = settings_value(FACTOR, str(flags.parent / "ledger.db"))
    async with demo_service(settings, [], flags) as service:
        operator = Operator(service, flags, ClientHistories([]), seconds=1, patience=30)
        assert operator.placed
        operator.put_flags(flags_file(shadow=100))
        assert not operator.placed
        await operator.take([RolloutStep("", "", "", 0, _wait, lambda o: o.placed)])
        operator.put_truncated_flags()
        await operator.take([RolloutStep("", "", "", 0, _wait, lambda o: o.refused)])
        assert operator.placed
        assert all(progress.took is not None for progress in operator.progress)


@pytest.mark.real
async def test_a_restart_keeps_the_address_and_the_brake(flags: Path) -> None:
    ledger = str(flags.parent / "ledger.db")
    async with demo_service(settings_value(FACTOR, ledger), [], flags) as service:
        operator = Operator(service, flags, ClientHistories([]), seconds=1, patience=30)
        address, token = service.url, service.secrets.operator_token
        link = service.login_link()
        service.shim.engage_brake("a test")
        await service.restart(settings_value(FACTOR, ledger, close_code=4000))
        assert (service.url, service.secrets.operator_token) == (address, token)
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as http, http.get(link) as page:
            assert (page.status, str(page.url)) == (200, f"{address}/")
        assert service.brake_reason == "a test"
        assert service.shim.settings.monitors.candidate.settings.close_code == 4000
        operator.release_brake("over", flags_file(live=50, shadow=50))
        assert not operator.braked
        await operator.take([RolloutStep("", "", "", 0, _wait, lambda o: o.placed)])
        assert operator.progress[0].took is not None


async def test_work_is_done_unless_something_else_comes_first() -> None:
    assert await unless(asyncio.sleep(0), asyncio.Event().wait())
    ended = asyncio.Event()
    ended.set()
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    assert not await unless(work(), ended.wait())
    assert cancelled.is_set()
    assert len(asyncio.all_tasks()) == 1


async def test_what_the_work_raises_is_raised() -> None:
    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await unless(work(), asyncio.Event().wait())
