"""The measured table, and what is made of it."""

import json

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from shim.cli import main
from shim.clients.client_returns import BREATH, ENDINGS, Delay, known_clients
from shim.clients.ending_effect import codes_for_all, effect_of

CLIENTS = known_clients()

RECONNECTING = [name for name, client in CLIENTS.items() if client.reconnects]
names = st.lists(st.sampled_from(sorted(CLIENTS)), min_size=1, unique=True)


def test_every_client_was_measured_with_every_ending() -> None:
    assert len(CLIENTS) >= 22
    for client in CLIENTS.values():
        assert set(client.delays) >= set(ENDINGS), client.name
        for delay in client.delays.values():
            assert delay is None or 0 <= delay.earliest <= delay.latest <= 50


@pytest.mark.parametrize(
    ("name", "away"),
    [
        ("@mentra/sdk", {"1000", "1001", "1008"}),
        ("graphql-ws", {"1008", "1011"}),
        ("sockette", {"1000", "1001", "none"}),
        ("phoenix-1.7", {"1000"}),
        ("rxjs", {*ENDINGS} - {"1006"}),
        ("ws", {*ENDINGS}),
        ("gql-idle", {*ENDINGS}),
        ("reconnecting-websocket", set()),
        ("websockets", set()),
    ],
)
def test_who_stays_away(name: str, away: set[str]) -> None:
    client = CLIENTS[name]
    assert {ending for ending in ENDINGS if client.delay(ending) is None} == away


def test_an_applications_own_code_is_like_4000_but_where_the_source_says_otherwise() -> None:
    graphql, centrifuge = CLIENTS["graphql-ws"], CLIENTS["centrifuge"]
    assert graphql.delay("4001") == graphql.delay("4000") is not None
    assert [graphql.delay(code) for code in ("4400", "4499", "4500")] == [None] * 3
    assert graphql.delay("4399") == graphql.delay("4501") == graphql.delay("4000")
    assert [centrifuge.delay(code) for code in ("3500", "3999", "4500", "4999")] == [None] * 4
    assert centrifuge.delay("3499") == centrifuge.delay("4499") == centrifuge.delay("4000")
    assert not graphql.knows("1002")
    with pytest.raises(KeyError):
        graphql.delay("1002")


@given(names, st.sampled_from(ENDINGS))
def test_an_effect_names_each_client_once(chosen: list[str], ending: str) -> None:
    effect = effect_of(ending, [CLIENTS[name] for name in chosen])
    known = [name for name in chosen if name in RECONNECTING]
    assert sorted([*effect.stay_away, *effect.delays]) == sorted(known)
    assert effect.brings_all_back == (bool(known) and not effect.stay_away)
    if effect.delays:
        assert effect.back_within == max(CLIENTS[name].delays[ending][1] for name in effect.delays)  # type: ignore[index]
    assert set(effect.in_one_breath) <= set(effect.delays)


@given(names)
def test_good_codes_bring_all_back(chosen: list[str]) -> None:
    clients = [CLIENTS[name] for name in chosen]
    good = codes_for_all(clients)
    assert all(effect_of(code, clients).brings_all_back for code in good)
    assert not {"1006", "none"} & set(good)
    if "rxjs" in chosen or not any(client.reconnects for client in clients):
        assert good == ()
    else:
        assert good == ("1012", "1013", "4000")


def test_who_comes_back_in_one_breath() -> None:
    assert Delay(1.0, 1.0 + BREATH / 2).in_one_breath
    assert not Delay(1.0, 1.0 + BREATH).in_one_breath
    assert (Delay(1.0, 1.0).format_delay(), Delay(0.5, 1.5).format_delay()) == ("1.0", "0.5–1.5")


# -- The command --------------------------------------------------------------------------------------


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["codes", *arguments])


def test_the_table_shows_every_client() -> None:
    result = run()
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["client", *CLIENTS]
    assert "no code" in lines[0]
    assert "abort" in lines[0]


def test_the_codes_for_two_clients() -> None:
    result = run("--client", "@mentra/sdk", "--client", "graphql-ws")
    assert result.exit_code == 0
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line}
    assert rows["1001"].split()[1:] == ["not", "all", "@mentra/sdk"]
    assert rows["1008"].endswith("@mentra/sdk, graphql-ws")
    assert "not all" not in rows["1012"]
    assert result.stdout.splitlines()[-1] == "close codes that bring all back: 1012, 1013, 4000"


def test_no_code_brings_rxjs_back() -> None:
    result = run("--client", "rxjs", "--client", "ws")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-2:] == [
        "never come back by themselves: ws",
        "no close code brings all of them back",
    ]


def test_the_codes_as_json() -> None:
    result = run("--client", "graphql-ws", "--code", "4405", "--code", "1012", "--json")
    facts = json.loads(result.stdout)
    delay = CLIENTS["graphql-ws"].delay("1012")
    assert delay is not None
    (client,) = facts["clients"]
    assert (client["name"], client["version"]) == ("graphql-ws", CLIENTS["graphql-ws"].version)
    assert client["returns"] == {"4405": None, "1012": list(delay)}
    assert [one["ending"] for one in facts["codes"]] == ["4405", "1012"]
    assert [one["stay_away"] for one in facts["codes"]] == [["graphql-ws"], []]
    assert facts["good"] == ["1012", "1013", "4000"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--client", "@mentra/skd"), "(did you mean '@mentra/sdk'?)"),
        (("--client", "[bold]x"), "[bold]x"),
        (("--code", "1002"), "was not measured"),
        (("--code", "5000"), "was not measured"),
        (("--code", "-1"), "was not measured"),
        (("--code", "²"), "was not measured"),
    ],
)
def test_what_was_not_measured(arguments: tuple[str, ...], words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
