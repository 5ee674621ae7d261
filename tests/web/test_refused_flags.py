"""A flags file names users. Why it was refused is told in full only where users may be named."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from shim.aio import Shim
from shim.console.access.access import Visitor
from shim.console.access.login_sessions import AccessLevel
from shim.console.access.redaction import Names, Pseudonymizer
from shim.console.api.schemas import named
from shim.console.listener import listen, url_of
from shim.ledger.rows import FailureRow
from shim.model import MonitorFailure, Problem, Role, without_details
from shim.server.serving import serving
from tests.live.servers import QUICK, ROLLOUT, app_client
from tests.telemetry.collectors import grpc_collector
from tests.waiting import until
from tests.web.servers import OPERATOR, SECRETS, VIEWER, Server
from tests.web.visits import READABLE

USER = "alice@example.com"
GOOD = ROLLOUT.replace("STAGE", '"shadow"')
BAD = (
    GOOD.replace("overrides: {}", f"overrides: {{{USER}: everywhere}}"),
    GOOD.replace("overrides: {}", f"overrides: {{{USER}: live, {USER}: off}}"),
    GOOD.replace("rules: []", f"rules: [{{name: {USER}, users: {USER}, stage: live}}]"),
    GOOD.replace("holdback: 0", f"holdback: {USER}"),
    GOOD.replace("flag:", f"{USER}: 1\nflag:"),
    GOOD.replace("salt: test", f"salt: test, {USER}: ["),
    GOOD.replace("kill_switch: false", f"kill_switch: {USER}"),
    f"{GOOD}{USER}\n",
    f"*{USER}\n{GOOD}",
)


@asynccontextmanager
async def following(folder: Path, more: str = "") -> AsyncIterator[Server]:
    """A server that follows a flags file."""
    (folder / "rollout.yaml").write_text(GOOD)
    settings = f"{QUICK}\nrollout: rollout.yaml\nledger: sqlite:///{folder}/shim.db\n{more}\n"
    (folder / "shim.yaml").write_text(settings)
    shim = Shim.open(folder / "shim.yaml", secrets=SECRETS)
    listener = listen("127.0.0.1", 0)
    async with serving(shim, listener):
        yield Server(shim, url_of(listener), url_of(listener))


async def refuse(it: Server, folder: Path, bad: str) -> str:
    flags = it.shim.assembly.flags
    assert flags is not None
    before = flags.problem
    (folder / "rollout.yaml").write_text(bad)
    await until(lambda: flags.problem not in (None, before))
    assert flags.problem is not None
    return flags.problem


@pytest.mark.real
async def test_viewers_see_where_it_is_wrong_and_operators_why(tmp_path: Path) -> None:
    async with following(tmp_path) as it, aiohttp.ClientSession() as http:
        app = await app_client(http, it.url, USER)
        named_in = set()
        for number, bad in enumerate(BAD):
            if USER in await refuse(it, tmp_path, bad):
                named_in.add(number)
            for path in sorted({*READABLE, "/readyz"} - {"/live"}):
                if USER in path:
                    continue  # the visitor names the user
                async with http.get(it.url + path, headers=VIEWER) as answer:
                    assert USER not in await answer.text(), (path, bad)
            async with http.get(f"{it.url}/live", headers=VIEWER) as stream:
                await stream.content.readuntil(b"\n\n")
                assert USER.encode() not in await stream.content.readuntil(b"\n\n"), bad
        assert named_in >= {0, 1, 4}
        async with http.get(f"{it.url}/api/flags", headers=VIEWER) as answer:
            told = (await answer.json())["problem"]
        assert told.startswith(f"{tmp_path}/rollout.yaml:1:")
        assert "only operators see it" in told
        await refuse(it, tmp_path, BAD[0])
        for path in ("/api/flags", "/api/report", "/"):
            async with http.get(it.url + path, headers=OPERATOR) as answer:
                assert USER in await answer.text(), path
        # A file that is not there is no secret.
        (tmp_path / "rollout.yaml").unlink()
        flags = it.shim.assembly.flags
        assert flags is not None
        await until(lambda: "no such file" in (flags.problem or "").lower())
        async with http.get(f"{it.url}/api/flags", headers=VIEWER) as answer:
            assert "no such file" in (await answer.json())["problem"].lower()
        await app.close()


@pytest.mark.real
@pytest.mark.parametrize("how", ["raw", "hashed"])
async def test_log_and_traces_name_users_as_the_settings_say(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "shim")
    with grpc_collector() as (endpoint, received):
        more = f"privacy: {{logs: {how}, telemetry: {how}}}\ntelemetry: {{endpoint: '{endpoint}'}}"
        async with following(tmp_path, more) as it:
            await refuse(it, tmp_path, BAD[0])
            it.shim.observer.on(
                MonitorFailure(role=Role.CANDIDATE, call="wake", reason=f"KeyError: '{USER}'", at=1)
            )
        spans = [*received.named("flags load"), *received.named("monitor failure")]
    assert (USER in caplog.text) == (how == "raw")
    assert "flags: refused" in caplog.text
    assert "the candidate failed in wake: KeyError" in caplog.text
    assert len(spans) >= 3
    assert any(USER in str(span) for span in spans) == (how == "raw")


def test_a_failure_is_told_to_viewers_without_what_the_monitor_said() -> None:
    row = FailureRow(role=Role.CANDIDATE, call="wake", reason=f"KeyError: '{USER}'", at=1)
    register = Pseudonymizer(lambda name: f"<{name}>")
    for level, reason in (
        (AccessLevel.VIEWER, "KeyError"),
        (AccessLevel.OPERATOR, f"KeyError: '{USER}'"),
    ):
        assert named(row, Names(register, Visitor(level, "somebody"))).reason == reason


@pytest.mark.parametrize(
    ("reason", "rest"),
    [
        ("took 60 ms of CPU", "took 60 ms of CPU"),
        ("failed 3 times", "failed 3 times"),
        (f"ValueError: {USER}: no", "ValueError"),
        (f"answered '{USER}', not a time", "answered nonsense"),
        (f"answered about a connection it does not watch: {USER}", "answered nonsense"),
        (f"asked for a ping that cannot be sent: {USER}", "asked for a ping that cannot be sent"),
    ],
)
def test_what_a_failure_was(reason: str, rest: str) -> None:
    assert without_details(reason) == rest


def test_a_problem_with_a_place_in_a_file_is_told_without_its_key() -> None:
    placed = Problem("unknown stage", "rollout.yaml", 12, 3, f"overrides.{USER}")
    assert USER in str(placed)
    assert placed.without_names.startswith("rollout.yaml:12:3: ")
    assert USER not in placed.without_names
    assert Problem("is empty", "rollout.yaml").without_names == "rollout.yaml: is empty"
