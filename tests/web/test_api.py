"""What the API answers: pages, filters, the ledger's rows; and what it says to nonsense."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from shim.ledger.fleet_record import ALONE
from shim.ledger.sqlite.reader import SqliteReader
from shim.model import Stage, VerdictName
from tests.live.servers import app_client, token
from tests.waiting import until
from tests.web.servers import OPERATOR, SECRETS, VIEWER, Server, console

pytestmark = pytest.mark.real


async def get(http: aiohttp.ClientSession, it: Server, path: str, **query: Any) -> Any:
    async with http.get(f"{it.url}/api/{path}", params=query, headers=OPERATOR) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def glasses(
    http: aiohttp.ClientSession, it: Server, user: str
) -> aiohttp.ClientWebSocketResponse:
    return await http.ws_connect(f"{it.url}/glasses-ws", headers=token(user, SECRETS.jwt_secret))


async def test_a_shim_that_runs_alone_has_no_fleet(tmp_path: Path) -> None:
    async with console(tmp_path, Stage.LIVE) as it, aiohttp.ClientSession() as http:
        assert await get(http, it, "fleet") == ALONE.as_dict()
        for path, headers, status in (
            ("/api/fleet", VIEWER, 200),
            ("/api/fleet", {}, 401),
            ("/fleet", VIEWER, 200),
        ):
            async with http.get(f"{it.url}{path}", headers=headers) as answer:
                assert answer.status == status
        async with http.get(f"{it.url}/", headers=VIEWER) as answer:
            assert "/fleet" not in await answer.text()


async def test_connections_come_in_pages_and_by_filters(tmp_path: Path) -> None:
    async with console(tmp_path, Stage.LIVE) as it, aiohttp.ClientSession() as http:
        clients = []
        for number in range(5):
            clients.append(await glasses(http, it, f"user-{number}"))
            clients.append(await app_client(http, it.url, f"user-{number}", f"app.{number % 2}"))
        every = (await get(http, it, "connections"))["connections"]
        assert [row["connection"] for row in every] == [f"c{n}" for n in range(1, 11)]

        paged: list[Any] = []
        cursor: dict[str, str] = {}
        while True:
            page = await get(http, it, "connections", limit=3, **cursor)
            paged += [row["connection"] for row in page["connections"]]
            if page["next"] is None:
                break
            assert len(page["connections"]) == 3
            cursor = {"cursor": page["next"]}
        assert paged == [row["connection"] for row in every]

        for query, count in (
            ({"kind": "glasses"}, 5),
            ({"package": "app.1"}, 2),
            ({"user": "user-3"}, 2),
            ({"user": "user-3", "kind": "app", "package": "app.1"}, 1),
            ({"stage": "live"}, 10),
            ({"stage": "off"}, 0),
            ({"acting": "candidate"}, 10),
            ({"acting": "control"}, 0),
            ({"user": ""}, 10),
        ):
            rows = (await get(http, it, "connections", **query))["connections"]
            assert len(rows) == count, query

        await clients[0].close()
        await until(lambda: it.shim.census.open() == 9)
        # A page after a connection that has gone begins where it would have.
        page = await get(http, it, "connections", cursor="1", limit=1)
        assert page["connections"][0]["connection"] == "c2"

        sessions = await _sessions(http, it)
        assert [row["user"] for row in sessions] == [f"user-{n}" for n in range(5)]
        assert sessions[0] == {
            "session": "user-0",
            "user": "user-0",
            "stage": "live",
            "glasses": None,
            "apps": {"app.0": "c2"},
            "sockets": 1,
        }
        # A session whose sockets are being closed points at no connection (R2), and stays where it was.
        for session in list(it.shim.sessions.values())[1:]:
            for member in session.members():
                session.forget(member)
        without = await _sessions(http, it)
        assert [row["user"] for row in without] == [f"user-{n}" for n in range(5)]
        assert [len(row["apps"]) for row in without] == [1, 0, 0, 0, 0]
        for client in clients:
            await client.close()


async def _sessions(http: aiohttp.ClientSession, it: Server) -> list[Any]:
    """All sessions, two on each page."""
    sessions: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = await get(http, it, "sessions", limit=2, **cursor)
        sessions += page["sessions"]
        if page["next"] is None:
            return sessions
        cursor = {"cursor": page["next"]}


async def test_a_session_says_how_its_sockets_are(tmp_path: Path) -> None:
    async with console(tmp_path) as it, aiohttp.ClientSession() as http:
        app = await app_client(http, it.url, "alice")
        await app.send_str('{"type": "ping", "padding": "' + "x" * 5000 + '"}')
        await app.receive()
        answer = await get(http, it, "sessions/alice")
        (row,) = answer["connections"]
        assert row["socket"]["bytes_received"] > 5000
        assert 0 < row["socket"]["round_trip"] < 10
        assert row["missed"] >= 0
        async with http.get(f"{it.url}/sessions/alice", headers=OPERATOR) as page:
            assert "Round trip" in await page.text()
        await app.close()
        await until(lambda: not it.shim.sessions)
        async with http.get(f"{it.url}/api/sessions/alice", headers=VIEWER) as page:
            assert page.status == 404


async def test_a_session_tells_how_its_sockets_are_and_how_the_last_ones_ended(
    tmp_path: Path,
) -> None:
    async with console(tmp_path, Stage.LIVE) as it, aiohttp.ClientSession() as http:
        first = await app_client(http, it.url, "alice")
        await first.send_str('{"type": "heartbeat"}')
        second = await app_client(http, it.url, "alice", "com.example.app2", autoping=False)
        pinger = asyncio.create_task(anext(aiter(first)))
        (session,) = it.shim.sessions.values()
        await until(lambda: session.app_connections.keys() == {"com.example.app1"})
        live = session.app_connections["com.example.app1"]
        await until(lambda: it.shim.router.round_trip(live.tracked) is not None)
        await second.close()
        await until(lambda: len(it.shim.closings.of("alice")) == 1)
        answer = await get(http, it, "sessions/alice")
        (row,) = answer["connections"]
        assert row["messages"] >= 2
        assert 0 < row["round_trip"] < 60
        (ended,) = answer["ended"]
        assert (ended["package"], ended["cause"]) == ("com.example.app2", "candidate")
        assert ended["intended"] == 1001
        async with http.get(f"{it.url}/sessions/alice", headers=OPERATOR) as page:
            text = await page.text()
        assert "Ping to pong" in text
        assert "by the candidate, code 1001 sent" in text
        pinger.cancel()


async def test_counts_follow_what_happens(tmp_path: Path) -> None:
    async with console(tmp_path, Stage.LIVE) as it, aiohttp.ClientSession() as http:
        first, second = await glasses(http, it, "a"), await app_client(http, it.url, "a")
        other = await glasses(http, it, "b")
        report = await get(http, it, "report")
        assert report["connections"]["open"] == 3
        assert report["connections"]["kinds"] == {"glasses": 2, "app": 1}
        assert report["connections"]["stages"]["live"] == 3
        assert report["users"]["live"] == 2
        it.shim.engage_brake("to see the stages change")
        await it.shim.handover.finished()
        report = await get(http, it, "report")
        assert (report["users"]["live"], report["users"]["shadow"]) == (0, 2)
        assert report["brake"] == "to see the stages change"
        explained = await get(http, it, "flags/explain", user="a")
        assert (explained["stage"], explained["granted"]) == ("shadow", "live")
        assert explained["lowered_by"] == "brake"
        for client in (first, second, other):
            await client.close()
        await until(lambda: it.shim.census.open() == 0)


async def test_an_episode_is_told_whole(tmp_path: Path) -> None:
    async with console(tmp_path, Stage.LIVE) as it, aiohttp.ClientSession() as http:
        silent = await app_client(http, it.url, "alice", autoping=False)
        await until(lambda: it.shim.assembly.tally.verdicts[VerdictName.MATCHED] == 1)
        back = await app_client(http, it.url, "alice")
        assert it.shim.assembly.records.ledger.flush(10)
        (row,) = (await get(http, it, "verdicts", user="alice"))["verdicts"]
        assert (row["verdict"], row["kind"], row["acting"]) == ("matched", "both", "candidate")
        assert row["skew"] == pytest.approx(row["control_at"] - row["candidate_at"], abs=1e-5)
        episode = await get(http, it, f"verdicts/{row['id']}")
        assert episode["verdict"] == row
        assert {decision["role"] for decision in episode["decisions"]} == {"control", "candidate"}
        assert episode["action"]["code"] == 1001
        assert episode["action"]["result"] == "returned"
        (outcome,) = (await get(http, it, "outcomes", acting="candidate"))["outcomes"]
        assert outcome == episode["action"]
        assert (await get(http, it, "outcomes", acting="control"))["outcomes"] == []
        for query, count in (
            ({"verdict": "matched"}, 1),
            ({"verdict": "mismatched"}, 0),
            ({"kind": "both", "connection_kind": "app", "package": "com.example.app1"}, 1),
            ({"connection_kind": "glasses"}, 0),
            ({"since": row["at"] + 1}, 0),
            ({"until": row["at"] + 1}, 1),
            ({"recovered": "true"}, 0),
        ):
            assert len((await get(http, it, "verdicts", **query))["verdicts"]) == count, query
        async with http.get(f"{it.url}/verdicts/{row['id']}", headers=OPERATOR) as page:
            text = await page.text()
        assert "last sign of life" in text
        assert "alice" in text
        gate = await get(http, it, "gate", kind="app")
        assert gate["answer"] == "insufficient"
        await silent.close()
        await back.close()


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("connections?colour=red", "unknown filter 'colour'"),
        ("connections?stages=live", "did you mean 'stage'?"),
        ("connections?kind=watch", "'watch' is not one of glasses, app"),
        ("connections?stage=3", "not one of off, shadow, live, complete"),
        ("connections?limit=0", "limit"),
        ("connections?limit=10001", "limit"),
        ("connections?limit=many", "limit"),
        ("connections?limit=9" + "9" * 400, "limit"),
        ("connections?cursor=abc", "cursor"),
        ("connections?cursor=-1", "cursor"),
        ("connections?cursor=9" + "9" * 40, "cursor"),
        ("connections?cursor=%C2%B2", "cursor"),
        ("connections?user=a&user=b", "more than once"),
        ("connections?user=" + "x" * 600, "user"),
        ("sessions?cursor=x", "cursor"),
        ("verdicts?cursor=1", "cursor"),
        ("verdicts?cursor=1-1'--", "cursor"),
        ("verdicts?since=yesterday", "since"),
        ("verdicts?since=NaN", "since"),
        ("verdicts?since=-1", "since"),
        ("verdicts?until=1e300", "until"),
        ("verdicts?recovered=perhaps", "recovered"),
        ("outcomes?result=gone", "returned, lost, replaced, censored"),
        ("gate?kind=x", "kind"),
        ("brake?x=1", "there are none here"),
        ("report?x=1", "there are period"),
        ("report?period=2h", "period"),
        ("flags/explain", "'user' is needed"),
    ],
)
async def test_bad_filters_are_told_apart(tmp_path: Path, path: str, why: str) -> None:
    async with (
        console(tmp_path) as it,
        aiohttp.ClientSession() as http,
        http.get(f"{it.url}/api/{path}", headers=VIEWER) as answer,
    ):
        assert answer.status == 400
        assert answer.content_type == "application/problem+json"
        problem = await answer.json()
    assert set(problem) == {"type", "title", "status", "detail"}
    assert why in problem["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/no-such", 404),
        ("GET", "/api/verdicts/7", 404),
        ("GET", "/api/verdicts/x", 404),
        ("GET", "/api/verdicts/9999999999999999999999", 404),
        ("GET", "/api/sessions/nobody", 404),
        ("DELETE", "/api/connections", 405),
        ("POST", "/api/verdicts", 405),
    ],
)
async def test_what_is_not_there(tmp_path: Path, method: str, path: str, status: int) -> None:
    async with (
        console(tmp_path) as it,
        aiohttp.ClientSession() as http,
        http.request(method, it.url + path, headers=VIEWER) as answer,
    ):
        assert answer.status == status
        assert answer.content_type == "application/problem+json"


async def test_without_a_ledger_the_rest_still_works(tmp_path: Path) -> None:
    async with console(tmp_path) as it, aiohttp.ClientSession() as http:
        reader = it.shim.assembly.reader
        assert isinstance(reader, SqliteReader)
        reader.path.unlink()
        socket = await app_client(http, it.url, "alice@example.com")
        for path, status in (
            ("/api/verdicts", 503),
            ("/api/gate", 503),
            ("/sessions/alice@example.com", 200),
            ("/api/report", 200),
            ("/api/brake", 200),
            ("/", 200),
            ("/brake", 200),
            ("/verdicts", 503),
            ("/healthz", 200),
            ("/readyz", 200),
        ):
            async with http.get(it.url + path, headers=VIEWER) as answer:
                assert answer.status == status, path
                text = await answer.text()
            if path in ("/", "/verdicts", "/api/verdicts"):
                assert "there is no ledger at" in text
            if path.startswith("/sessions/"):
                assert "The ledger does not tell the episodes now." in text
        await socket.close()


async def test_the_gate_is_asked_about_an_earlier_time(tmp_path: Path) -> None:
    async with console(tmp_path) as it, aiohttp.ClientSession() as http:
        now = await get(http, it, "gate")
        trial = now["inputs"]["trial"]
        assert trial["began_by"] == "start"
        soon = round(trial["since"] + 0.001, 6)
        then = await get(http, it, "gate", at=soon)
        assert then["inputs"]["now"] == soon
        assert then["inputs"]["trial"] == trial
        before = await get(http, it, "gate", at=trial["since"] - 1)
        assert (before["answer"], before["inputs"]["trial"]) == ("insufficient", None)
        # The year 9999 is answered as of now, without a look at each day until then.
        future = await get(http, it, "gate", at=253_402_300_799)
        assert now["inputs"]["now"] <= future["inputs"]["now"] < 253_402_300_799
        assert future["inputs"]["trial"] == trial
        for nonsense in ("yesterday", "-1", "1e99"):
            async with http.get(
                f"{it.url}/api/gate", params={"at": nonsense}, headers=VIEWER
            ) as answer:
                assert answer.status == 400


async def test_header_injection_stays_a_header(tmp_path: Path) -> None:
    """What is sent raw, past any client's own checks, must not come back as a header or a log line."""
    async with console(tmp_path) as it:
        host, port = it.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"GET /login?next=/%0d%0aSet-Cookie:%20shim_session=x HTTP/1.1\r\n"
            b'Host: localhost\r\nCookie: shim_session="a\x0b\xff; =;;; x"\r\n'
            b"Connection: close\r\n\r\n"
        )
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
    head = answer.split(b"\r\n\r\n", 1)[0]
    assert b"Set-Cookie" not in head
    assert b" 500 " not in head.splitlines()[0]


async def test_readiness_and_metrics(tmp_path: Path) -> None:
    async with console(tmp_path) as it, aiohttp.ClientSession() as http:
        async with http.get(f"{it.url}/metrics", headers=VIEWER) as answer:
            assert "shim_connections" in await answer.text()
        it.shim.draining = True
        async with http.get(f"{it.url}/readyz", headers={"Host": "evil.example"}) as answer:
            assert answer.status == 503
