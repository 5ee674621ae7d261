"""The commands against a running shim answer what they answer from its ledger."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner, Result

from shim.aio import Shim
from shim.cli import main
from shim.cli import verdicts as remote_verdicts
from shim.console.listener import listen, url_of
from shim.flags.targeting import everyone_at
from shim.model import Role, Stage
from shim.rollout.changes import find_change, this_user
from shim.server.serving import serving
from shim.settings.flags_file import load_flags_file
from tests.ledger.helpers import blocked
from tests.live.servers import QUICK, ROLLOUT, SECRETS, app_client, server
from tests.waiting import until

pytestmark = pytest.mark.real


async def ask(*arguments: str) -> Result:
    runner = CliRunner(env={"SHIM_OPERATOR_TOKEN": SECRETS.operator_token})
    return await asyncio.to_thread(runner.invoke, main, arguments)


async def test_remote_and_local_say_the_same(tmp_path: Path) -> None:
    ledger = str(tmp_path / "shim.db")
    async with server(tmp_path, Stage.LIVE) as it, aiohttp.ClientSession() as http:
        client = await app_client(http, it.url, "alice", autoping=False)
        await until(lambda: it.tally.verdicts.total())
        await until(lambda: it.tally.outcomes.total())
        assert await asyncio.to_thread(it.shim.assembly.records.ledger.flush, 10)
        for command in (["verdicts"], ["verdicts", "1"]):
            local = await ask(*command, "--ledger", ledger, "--json")
            remote = await ask(*command, "--url", it.url, "--json")
            assert remote.exit_code == 0, remote.output
            assert json.loads(remote.output) == json.loads(local.output)
        shown = await ask("verdicts", "1", "--url", it.url)
        assert "the candidate acts: it closes the connection with code 1001" in shown.output
        gate = await ask("gate", "--url", it.url)
        assert gate.exit_code == 3
        assert "insufficient evidence" in gate.output
        listed = await ask("connections", "--url", it.url, "--json")
        assert json.loads(listed.output)["connections"] == []
        assert "agreement" in (await ask("status", "--url", it.url)).output
        for order, word in (("engage", "engaged: a test"), ("release", "released")):
            answer = await ask("brake", order, "--reason", "a test", "--url", it.url)
            assert word in answer.output
        nothing = await ask("verdicts", "99", "--url", it.url)
        assert nothing.exit_code == 2
        assert "there is no such verdict" in nothing.output
        await client.close()


async def test_more_verdicts_than_the_api_answers_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_verdicts, "LONGEST_PAGE", 2)
    async with server(tmp_path, Stage.LIVE) as it, aiohttp.ClientSession() as http:
        clients = [
            await app_client(http, it.url, user, autoping=False)
            for user in ("alice", "bob", "carol", "dave")
        ]
        await until(lambda: it.tally.verdicts.total() == len(clients))
        assert await asyncio.to_thread(it.shim.assembly.records.ledger.flush, 10)
        for limit in ("2", "3", "4", "10000"):
            asked = ("verdicts", "--json", "--limit", limit)
            remote = await ask(*asked, "--url", it.url)
            local = await ask(*asked, "--ledger", str(tmp_path / "shim.db"))
            assert remote.exit_code == 0, remote.output
            assert json.loads(remote.output) == json.loads(local.output)
        for client in clients:
            await client.close()


async def test_a_shim_that_runs_alone_takes_a_step_of_its_plan(tmp_path: Path) -> None:
    flags, config = tmp_path / "rollout.yaml", tmp_path / "shim.yaml"
    flags.write_text(ROLLOUT.replace("STAGE", '"off"'))
    plan = "promotion: {steps: [{percent: {shadow: 10}}, {percent: {live: 10}}]}"
    settings = f"{QUICK}\n{plan}\nrollout: rollout.yaml"
    async with server(tmp_path, None, settings) as it:
        remote = ("--url", it.url)
        for command in (["rollout", "status"], ["rollout", "advance", "--dry-run"]):
            local = await ask(*command, "--config", str(config), "--json")
            answer = await ask(*command, *remote, "--json")
            assert json.loads(answer.stdout) == json.loads(local.stdout)
            assert answer.exit_code == local.exit_code == 0
        before = load_flags_file(flags).digest
        taken = await ask("rollout", "advance", *remote, "--reason", "Monday")
        assert (taken.exit_code, "is replaced" in taken.stdout) == (0, True), taken.output
        change = find_change(flags, load_flags_file(flags).digest)
        assert change is not None
        assert (change.before, change.by) == (
            before,
            f"{this_user()} (operator token from 127.0.0.1)",
        )
        assert change.reason.endswith(": Monday")
        # What is only in a fleet, and what is wrong with the plan here, is said in words.
        for command, words in (
            (["flags", "log"], "this shim runs alone"),
            (["flags", "pull"], "this shim runs alone"),
            (["flags", "push", str(flags), "--reason", "x"], "this shim runs alone"),
        ):
            refused = await ask(*command, *remote)
            assert (refused.exit_code, words in refused.output) == (2, True), refused.output
        report = await ask("report", *remote, "--json")
        assert json.loads(report.stdout)["verdicts"]["matched"] == 0
        assert "record" not in json.loads(report.stdout)


@pytest.mark.parametrize("settings", ["", "monitors: {control: null}"])
async def test_without_a_plan_or_a_control_there_is_no_step(tmp_path: Path, settings: str) -> None:
    async with server(tmp_path, Stage.SHADOW, settings) as it:
        for command in (["rollout", "status"], ["rollout", "advance"]):
            refused = await ask(*command, "--url", it.url)
            local = await ask(*command, "--config", str(tmp_path / "shim.yaml"))
            assert (refused.exit_code, local.exit_code) == (2, 2)
            assert local.output.removeprefix("error: ").strip() in refused.output
        if settings:
            retired = await ask("retire", "--url", it.url)
            assert (retired.exit_code, "retired already" in retired.output) == (2, True)


@pytest.mark.parametrize(
    ("option", "word", "found"),
    [
        ("--kind", "app", 1),
        ("--kind", "glasses", 0),
        ("--stage", "live", 1),
        ("--stage", "off", 0),
        ("--acting", "candidate", 1),
        ("--acting", "control", 0),
    ],
)
async def test_connections_by_the_words_of_the_api(
    tmp_path: Path, option: str, word: str, found: int
) -> None:
    async with server(tmp_path, Stage.LIVE) as it, aiohttp.ClientSession() as http:
        client = await app_client(http, it.url, "alice")
        answer = await ask("connections", option, word, "--url", it.url, "--json")
        assert answer.exit_code == 0, answer.output
        assert len(json.loads(answer.output)["connections"]) == found
        await client.close()


async def test_a_user_with_markup_and_invisible_characters_hides_nobody(tmp_path: Path) -> None:
    hostile = "x[/]y :skull: [link=http://e]\u202e[User: bob]"
    async with server(tmp_path, Stage.LIVE) as it, aiohttp.ClientSession() as http:
        clients = [await app_client(http, it.url, user) for user in ("alice", hostile, "carol")]
        shown = (await ask("connections", "--url", it.url)).output
        assert all(line.isprintable() for line in shown.splitlines())
        for user in ("alice", r"x[/]y :skull: [link=http://e]\u202e[User: bob]", "carol"):
            assert user in shown
        reason = f"because of {hostile}"
        await ask("brake", "engage", "--reason", reason, "--url", it.url)
        for command in (["brake", "status"], ["status"]):
            told = (await ask(*command, "--url", it.url)).output
            assert all(line.isprintable() for line in told.splitlines())
            assert r"because of x[/]y :skull: [link=http://e]\u202e[User: bob]" in told
        for client in clients:
            await client.close()


async def test_whoever_releases_the_brake_learns_of_a_quarantine(tmp_path: Path) -> None:
    words = "the candidate is in quarantine"
    async with server(tmp_path, Stage.LIVE) as it:
        remote = ("--url", it.url)
        await ask("brake", "engage", "--reason", "a test", *remote)
        assert words not in (await ask("brake", "status", *remote)).output
        candidate = it.shim.router.monitors(Role.CANDIDATE)
        assert candidate is not None
        candidate.quarantine()
        released = await ask("brake", "release", "--reason", "a test", *remote)
        assert released.exit_code == 0
        for answer in (
            released,
            await ask("brake", "status", *remote),
            await ask("status", *remote),
        ):
            assert "released" in answer.output
            assert words in answer.output
        status = json.loads((await ask("brake", "status", *remote, "--json")).output)
        assert (status["engaged"], status["quarantined"]) == (False, True)
        assert await asyncio.to_thread(it.shim.assembly.records.ledger.flush, 10)
        local = await ask("brake", "status", "--ledger", str(tmp_path / "shim.db"), "--json")
        assert json.loads(local.output) == {**status, "quarantined": None}


async def test_an_order_to_the_brake_is_in_the_history_it_is_answered_with(tmp_path: Path) -> None:
    async with server(tmp_path, Stage.LIVE) as it:
        await ask("brake", "engage", "--reason", "the first", "--url", it.url)
        stranger = blocked(tmp_path / "shim.db")
        asyncio.get_running_loop().call_later(0.5, stranger.close)
        answer = await ask("brake", "release", "--reason", "the second", "--url", it.url)
    second, first = answer.output.splitlines()[1:]
    assert second.endswith("released  the second")
    assert first.endswith("engaged   the first")


async def test_without_a_token_the_answer_says_what_is_missing(tmp_path: Path) -> None:
    async with server(tmp_path) as it:
        for tokens, hint in (
            ({}, "a token or a login is needed here; SHIM_OPERATOR_TOKEN is not set (status 401)"),
            ({"SHIM_OPERATOR_TOKEN": "old"}, "the token is wrong (status 401)"),
            ({"SHIM_VIEWER_TOKEN": "old"}, "the token is wrong (status 401)"),
        ):
            runner = CliRunner(env={"SHIM_OPERATOR_TOKEN": None, **tokens})
            answer = await asyncio.to_thread(runner.invoke, main, ["status", "--url", it.url])
            assert answer.exit_code == 2
            assert hint in answer.output


async def test_the_viewers_token_reads(tmp_path: Path) -> None:
    secrets = replace(SECRETS, viewer_token="viewer")
    (tmp_path / "shim.yaml").write_text(f"{QUICK}\nledger: sqlite:///{tmp_path}/shim.db\n")
    shim = Shim.open(tmp_path / "shim.yaml", secrets=secrets, targeting=everyone_at(Stage.LIVE))
    listener = listen("127.0.0.1", 0)
    async with serving(shim, listener):
        remote = ("--url", url_of(listener))
        runner = CliRunner(env={"SHIM_OPERATOR_TOKEN": None, "SHIM_VIEWER_TOKEN": "viewer"})
        answer = await asyncio.to_thread(runner.invoke, main, ["status", *remote])
        assert answer.exit_code == 0, answer.output
        order = ["brake", "engage", "--reason", "a test", *remote]
        answer = await asyncio.to_thread(runner.invoke, main, order)
        assert answer.exit_code == 2
        assert "SHIM_OPERATOR_TOKEN is not set" in answer.output
        assert shim.router.brake_reason is None


@pytest.mark.parametrize("order", ["engage", "release"])
@pytest.mark.parametrize("reason", ["", "ab", "  a ", "a\nb c", "x" * 501])
async def test_a_reason_is_a_line(order: str, reason: str) -> None:
    """The command refuses a bad reason before it asks anybody, in the words of an order in a fleet's store."""
    refused = await ask("brake", order, "--reason", reason, "--url", "http://127.0.0.1:1")
    expected = "error: --reason: must be 3 to 500 characters, in one line\n"
    assert (refused.exit_code, refused.stderr) == (2, expected)


@pytest.mark.parametrize("command", [["status"], ["gate"], ["verdicts"], ["connections"]])
async def test_nobody_there(command: list[str]) -> None:
    answer = await ask(*command, "--url", "http://127.0.0.1:1")
    assert answer.exit_code == 2
    assert "cannot be reached" in answer.output
    assert (await ask(*command, "--url", "gopher://x")).exit_code == 2
