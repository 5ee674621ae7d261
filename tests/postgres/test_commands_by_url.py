"""Each command about a fleet answers the same of the store and of any process, with the same exit code."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner, Result

from shim.aio import Shim
from shim.cli import main
from shim.ledger.postgres.process_list import read_clock
from shim.ledger.postgres.store_connection import connect
from shim.ledger.stores import fleet_store
from shim.model import Stage
from shim.model.ledger_url import LedgerUrl
from shim.rollout.changes import this_user
from tests.ledger.helpers import S, settled_action, verdict
from tests.live.servers import QUICK, ROLLOUT, SECRETS
from tests.postgres.helpers import FLEET, STAGES, change, insert_row, listed, look
from tests.postgres.server import PostgresServer
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

TOKENS = {"SHIM_OPERATOR_TOKEN": "operator's", "SHIM_VIEWER_TOKEN": None}
VIEWERS = {"SHIM_OPERATOR_TOKEN": None, "SHIM_VIEWER_TOKEN": "viewer's"}
PLAN = "promotion: {steps: [{percent: {shadow: 10}, soak: 1d}, {percent: {live: 10}}]}"
FLAGS = (
    ROLLOUT.replace("STAGE", '"live"')
    .replace("{}", "{alice@example.com: live}")
    .replace("shadow: 0", "shadow: 10")
)
"""At the first step of the plan, which soaks for a day."""

ASKING = (
    "gate",
    "gate --kind app",
    "gate --at 2026-11-20",
    "verdicts",
    "verdicts --kind only_control",
    "verdicts 1",
    "report",
    "report --period 15m",
    "retire",
    "retire --force --reason drill",
    "rollout status",
    "rollout advance",
    "rollout advance --dry-run",
    "rollout advance --force --reason drill --dry-run",
    "flags log",
    "flags log --limit 1",
    "flags pull",
    "brake status",
)
"""Nothing is changed by these; `rollout` asks the settings, all others the store."""

_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d)?")
_PLACE = re.compile(r"no verdict in \S+")
_PASSING = {"now", "record", "since", "until", "processes", "quarantined", "seen_at"}
"""What another moment changes, and what only one of the two knows."""


@dataclass
class Member:
    """A process of the fleet: a service with the console under a prefix."""

    shim: Shim
    url: str
    config: Path
    store: LedgerUrl

    async def get(self, path: str) -> Any:
        async with (
            aiohttp.ClientSession(headers=bearer("operator's")) as http,
            http.get(f"{self.url}/shim/api/{path}") as answer,
        ):
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def post(self, path: str, body: Any, token: str = "operator's") -> tuple[int, Any]:
        async with (
            aiohttp.ClientSession(headers=bearer(token)) as http,
            http.post(f"{self.url}/shim/api/{path}", json=body) as answer,
        ):
            return answer.status, await answer.json(content_type=None)

    async def ask(self, command: str, tokens: dict[str, str | None] = TOKENS) -> Result:
        """The command, with the place that its words name: URL, STORE or CONFIG."""
        places = {"URL": f"{self.url}/shim", "STORE": self.store.url, "CONFIG": str(self.config)}
        words = [places.get(word, word) for word in command.split()]
        runner = CliRunner(env=tokens)
        return await asyncio.to_thread(runner.invoke, main, words)

    async def both(self, command: str) -> tuple[Result, Result]:
        """By the store, and by the process, at the same state of the store."""
        place = "--config CONFIG" if command.startswith("rollout") else "--ledger STORE"
        if command.startswith("retire"):
            place += " --config CONFIG"
        async with asyncio.timeout(60):
            while True:
                before = await self.ask(f"{command} {place}")
                remote = await self.ask(f"{command} --url URL")
                after = await self.ask(f"{command} {place}")
                if plain(before) == plain(after):
                    return after, remote


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def plain(result: Result) -> Any:
    """The output without what another moment changes; the report of a retirement says when it was written."""
    try:
        answer = without_time(json.loads(result.stdout))
    except ValueError:
        return _TIME.sub("TIME", _PLACE.sub("PLACE", result.stdout))
    return {**answer, "at": None} if isinstance(answer, dict) else answer


def without_time(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_time(part) for key, part in value.items() if key not in _PASSING}
    if isinstance(value, list):
        return [without_time(part) for part in value]
    return value


@asynccontextmanager
async def member(folder: Path, store: LedgerUrl) -> AsyncIterator[Member]:
    config = folder / "shim.yaml"
    config.write_text(
        f"{QUICK}\n{PLAN}\nrollout: ledger\nfleet: {FLEET}\nprocess: a\n"
        f"ledger: {json.dumps(store.url)}\noutbox: {folder}/outbox.db\n"
    )
    secrets = replace(SECRETS, operator_token="operator's", viewer_token="viewer's")
    shim = Shim.open(config, secrets=secrets)

    async def app(request: web.Request) -> web.StreamResponse:
        websocket = shim.websocket()
        await websocket.prepare(request)
        user = request.query["user"]
        async with shim.register_app_connection(websocket, user, user, "com.example.app1"):
            async for _ in websocket:
                pass
        return websocket

    service = web.Application()
    service.cleanup_ctx.append(shim.lifespan)
    service.add_subapp("/shim", shim.console())
    service.router.add_get("/app", app)
    async with TestServer(service) as running:
        yield Member(shim, str(running.make_url("")).rstrip("/"), config, store)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def it(
    server: PostgresServer, empty_store: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Member]:
    """Where a client of alice's fell silent at process `a`; of process `b` there are older rows."""
    folder = tmp_path_factory.mktemp("a")
    store = LedgerUrl(server.url(server.create_database(template=empty_store)))
    fleet_store(store).push_flags(FLAGS, who="ann", reason="begin")
    with closing(connect(store)) as connection:
        listed(connection, "b", behind=30)
        now = read_clock(connection)
        for number in (1, 2):
            insert_row(connection, 1, number, verdict(number, at=now - number * 600 * S))
        insert_row(connection, 1, 3, settled_action(3, acted_at=now - 7200 * S))
    # However long the tests take, it is not silent.
    ahead = 3600 * S
    change(
        store,
        f"UPDATE process SET seen_at = seen_at + {ahead}, complete_until = complete_until + {ahead}",
    )
    async with member(folder, store) as started, aiohttp.ClientSession() as http:
        await until(lambda: started.shim.assembly.evaluate("x").stage is Stage.LIVE)
        client = await http.ws_connect(f"{started.url}/app?user=alice@example.com", autoping=False)
        await until(lambda: look(store, "SELECT 1 FROM verdict WHERE run > 1"))
        await until(
            lambda: look(store, "SELECT 1 FROM action WHERE run > 1 AND result IS NOT NULL")
        )
        await client.close()
        yield started


@pytest.mark.parametrize("command", ASKING)
async def test_both_ways(it: Member, command: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for style in ("", "--json") if command != "flags pull" else ("",):
        local, remote = await it.both(f"{command} {style}")
        assert remote.exit_code == local.exit_code, remote.output
        assert plain(remote) == plain(local)
        assert _TIME.sub("T", remote.stderr) == _TIME.sub("T", local.stderr)
        if style:
            assert json.loads(remote.stdout)
        assert "Traceback" not in remote.output


async def test_every_answer_about_the_fleet_says_how_far_the_record_goes(it: Member) -> None:
    for path in (
        *("gate", "verdicts", "verdicts/1", "outcomes", "report", "report?period=7d", "brake"),
        *("rollout", "retirement", "retirement?force=true"),
    ):
        answer = await it.get(path)
        assert [one["name"] for one in answer["record"]["processes"]] == ["a", "b"], path
    for command in ("gate", "verdicts", "verdicts 1", "report", "brake status", "rollout status"):
        for style in ("", "--json"):
            local, remote = await it.both(f"{command} {style}")
            for result in (local, remote):
                assert ("record of" in result.stdout) is (style == "")
                if style:
                    assert len(json.loads(result.stdout)["record"]["processes"]) == 2


async def test_the_report_is_about_the_fleet(it: Member) -> None:
    report = await it.get("report")
    own = report["process"]
    assert (own["name"], sum(own["verdicts"].values())) == ("a", 1)
    assert sum(report["verdicts"].values()) == 3
    assert report["verdicts"]["matched"] == own["verdicts"]["matched"] + 2
    assert report["outcomes"]["control"]["returned"] == 1
    assert own["outcomes"]["control"]["returned"] == 0
    # `b` has no row of these: the store says the same as the process that found them out.
    assert sum(own["decisions"]["candidate"].values()) == 1
    for name in ("decisions", "late", "failures", "proofs_of_life", "improvements"):
        assert report[name] == own[name]
    # What `b` said of itself when it was heard of last.
    assert report["connections"]["stages"] == STAGES
    assert report["connections"]["open"] == 6
    assert report["until"] - report["since"] == 86_400
    for name in ("users", "sessions", "pauses", "guard", "quarantined", "flags", "ledger"):
        assert report[name] is None
        assert own[name] is not None
    recent = await it.get("report?period=15m")
    assert sum(recent["verdicts"].values()) == 2
    shown = (await it.ask("status --url URL")).stdout
    assert "a, at http" in shown
    assert "all processes together, since" in shown


async def test_while_the_store_does_not_tell_the_counts(it: Member) -> None:
    change(it.store, "ALTER TABLE late RENAME TO later")
    try:
        report = await it.get("report?period=30d")
        results = [
            await it.ask(f"report --period 30d {p}") for p in ("--url URL", "--ledger STORE")
        ]
    finally:
        change(it.store, "ALTER TABLE later RENAME TO late")
    assert "late" in report["trouble"]
    assert (report["verdicts"], report["agreement"], report["since"]) == (None, None, None)
    assert report["process"]["name"] == "a"
    assert report["connections"]["stages"] == STAGES
    for result in results:
        assert (result.exit_code, "late" in result.stderr) == (2, True)
        assert "Traceback" not in result.output


async def test_the_list_of_connections_is_that_of_one_process(it: Member) -> None:
    for path in ("connections", "sessions"):
        assert (await it.get(path))["process"] == "a"


# -- Changes ---------------------------------------------------------------------------------------


async def test_an_order_to_the_brake_is_in_its_answer(it: Member) -> None:
    for _ in range(2):
        given = await it.ask("brake engage --reason drill --url URL --json")
        history = json.loads(given.stdout)["history"]
        assert (history[0]["engaged"], history[0]["reason"], history[0]["process"]) == (
            True,
            "drill",
            "a",
        )
        assert (await it.ask("brake release --reason over --ledger STORE")).exit_code == 0
        await until(lambda: it.shim.router.brake_reason is None)


async def test_flags_are_pushed_by_any_process(it: Member, tmp_path: Path) -> None:
    file = tmp_path / "new.yaml"
    file.write_text(f"# changed\n{FLAGS}")
    (before,) = fleet_store(it.store).list_flags(1)
    push = f"flags push {file} --url URL --reason more"
    refused = await it.ask(f"{push} --if-digest 12345678")
    assert refused.exit_code == 1, refused.output
    assert before.digest[:12] in refused.output
    pushed = await it.ask(f"{push} --if-digest {before.digest[:9]} --json")
    assert pushed.exit_code == 0, pushed.output
    answer = json.loads(pushed.stdout)
    (version,) = fleet_store(it.store).list_flags(1)
    assert answer == {**version.as_dict(), "in_force": True}
    assert version.reason == "more"
    assert version.who == f"{this_user()} (operator token from 127.0.0.1)"
    assert version.text == file.read_text()
    again = await it.ask(push)
    assert again.exit_code == 0
    pulled = await it.ask(f"flags pull {tmp_path}/pulled.yaml --url URL")
    assert pulled.exit_code == 0
    assert (tmp_path / "pulled.yaml").read_text() == file.read_text()
    fleet_store(it.store).push_flags(FLAGS, who="ann", reason="as before")


async def test_a_step_is_taken_by_any_process(it: Member) -> None:
    before = fleet_store(it.store).list_flags(99)
    refused = await it.ask("rollout advance --url URL")
    assert refused.exit_code == 3
    assert fleet_store(it.store).list_flags(99) == before
    taken = await it.ask("rollout advance --url URL --force --reason drill --json")
    assert taken.exit_code == 0, taken.output
    change = json.loads(taken.stdout)["change"]
    (version,) = fleet_store(it.store).list_flags(1)
    assert (change["after"], change["reason"]) == (version.digest, "by force: drill")
    assert version.who == change["by"] == f"{this_user()} (operator token from 127.0.0.1)"
    assert "live: 10" in version.text
    fleet_store(it.store).push_flags(FLAGS, who="ann", reason="as before")


async def test_what_is_wrong_with_an_order(it: Member, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("version: 1\n")
    (tmp_path / "good.yaml").write_text(FLAGS)
    before = fleet_store(it.store).list_flags(99)
    for command, told in (
        (f"flags push {tmp_path}/bad.yaml --url URL --reason x", "bad.yaml"),
        (f"flags push {tmp_path}/none.yaml --url URL --reason x", "no such file"),
        (
            f"flags push {tmp_path}/good.yaml --url URL --ledger STORE --reason x",
            "leave --ledger out",
        ),
        (f"flags push {tmp_path}/good.yaml --url URL --reason x --if-digest xyz", "not a digest"),
        ("rollout advance --url URL --force", "--force needs --reason"),
        ("retire --url URL --force", "--force needs --reason"),
        ("report --url URL --ledger STORE", "leave --ledger out"),
        ("gate --url URL --ledger STORE", "leave --ledger out"),
    ):
        result = await it.ask(command)
        assert (result.exit_code, told in result.output) == (2, True), result.output
    for path, body in (
        ("flags/versions", {"text": "version: 1\n", "reason": "x"}),
        ("flags/versions", {"text": FLAGS, "reason": " "}),
        ("flags/versions", {"text": FLAGS, "reason": "x", "more": 1}),
        ("rollout", {"force": True}),
    ):
        status, answer = await it.post(path, body)
        assert status in (400, 409), answer
        assert answer["detail"]
    assert fleet_store(it.store).list_flags(99) == before


async def test_viewers_read_what_names_nobody(it: Member, tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text(FLAGS)
    for command in ("gate", "report", "retire", "flags log", "verdicts", "brake status"):
        operators, viewers = (
            await it.ask(f"{command} --url URL"),
            await it.ask(f"{command} --url URL", VIEWERS),
        )
        assert viewers.exit_code == operators.exit_code, viewers.output
        assert "alice" not in viewers.output
    state = await it.ask("rollout status --url URL", VIEWERS)
    assert state.exit_code == 0
    assert "told to operators alone" in state.stdout
    assert "alice" not in state.output
    pulled = await it.ask("flags pull --url URL", VIEWERS)
    assert (pulled.exit_code, "only operators may see" in pulled.output) == (2, True)
    for order in (
        f"flags push {tmp_path}/new.yaml --url URL --reason x",
        "rollout advance --url URL",
        "brake engage --url URL --reason why",
    ):
        refused = await it.ask(order, VIEWERS)
        assert (refused.exit_code, "SHIM_OPERATOR_TOKEN" in refused.output) == (2, True)
    for path in ("flags/versions", "rollout", "brake"):
        status, _ = await it.post(path, {}, token="viewer's")
        assert status == 403
