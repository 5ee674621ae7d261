"""The clients of the service, where the rollout asks for them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shim.flags.targeting import Targeting
from shim.gate.answer import Condition
from shim.gate.judge import judge
from shim.model import InputError
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.rollout.client_hints import close_code_warning, judge_with_hints
from shim.settings.flags_file import load_flags_file
from shim.settings.settings import Settings, settings_from
from tests.gate.evidence import APP, GROUP, arms, bernoulli, condition, evidence

FLAGS = Path(__file__).parents[2] / "config" / "rollout.yaml"
FEWER = replace(APP, returns={GROUP: arms(bernoulli(1900, 2000), bernoulli(600, 2000))})


def settings(code: int | None = None, clients: list[str] | None = None) -> Settings:
    facts: dict[str, Any] = {}
    if code is not None:
        facts["monitors"] = {"candidate": {"plugin": "per-session", "close_code": code}}
    if clients is not None:
        facts["clients"] = clients
    return settings_from(facts, monitor_types(plugin_manager()))


def targeting(tmp_path: Path, live: int = 5) -> Targeting:
    file = tmp_path / "rollout.yaml"
    text = FLAGS.read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("percent:")]
    file.write_text(text.replace(line, f"percent: {{complete: 0, live: {live}, shadow: 10}}"))
    return load_flags_file(file).targeting


def test_without_a_word_the_client_of_the_seed_is_meant(tmp_path: Path) -> None:
    warning = close_code_warning(settings(), targeting(tmp_path))
    assert warning is not None
    assert "closes with 1001" in warning
    assert warning.endswith(
        "after it @mentra/sdk clients stay away; after 1012, 1013 or 4000 they come back"
    )


@pytest.mark.parametrize(
    ("code", "clients", "words"),
    [
        (1011, ["@mentra/sdk", "graphql-ws"], "graphql-ws clients stay away; after 1012, 1013"),
        (1001, ["sockette", "@mentra/sdk"], "sockette and @mentra/sdk clients stay away"),
        (4000, ["rxjs"], "rxjs clients stay away; no close code brings all of them back"),
        (4405, ["graphql-ws", "centrifuge"], "graphql-ws clients stay away"),
        (1001, ["phoenix", "graphql-ws"], None),
        (4000, ["@mentra/sdk", "graphql-ws"], None),
        (1001, ["ws"], None),
        (1001, [], None),
    ],
)
def test_the_warning_names_the_clients(
    tmp_path: Path, code: int, clients: list[str], words: str | None
) -> None:
    warning = close_code_warning(settings(code, clients), targeting(tmp_path))
    if words is None:
        assert warning is None
    else:
        assert warning is not None
        assert words in warning


def test_nobody_is_warned_while_the_candidate_cannot_act(tmp_path: Path) -> None:
    flags = targeting(tmp_path, live=0)
    if close_code_warning(settings(), flags) is not None:
        # An override or a rule of the file lets the candidate act.
        assert "percent" not in str(close_code_warning(settings(), flags))


def returns_of(settings: Settings, kind_evidence: Any = FEWER) -> Condition:
    return condition(judge_with_hints(evidence(kind_evidence), settings), "returns")


def test_refuted_returns_name_the_clients_that_stay_away() -> None:
    plain = condition(judge(evidence(FEWER), settings().gate), "returns")
    hinted = returns_of(settings(4000, ["@mentra/sdk", "rxjs"]))
    assert plain.missing is not None
    assert hinted.missing == (
        f"{plain.missing}; rxjs stay away after 4000: no close code brings all of them back"
    )
    assert returns_of(settings(1001)).missing == (
        f"{plain.missing}; @mentra/sdk stay away after 1001: after 1012, 1013 or 4000 they come back"
    )


def test_no_hint_where_the_code_is_not_to_blame_or_nothing_is_refuted() -> None:
    assert "stay away" not in str(returns_of(settings(4000)).missing)
    assert "stay away" not in str(returns_of(settings(1001), APP).missing)


@pytest.mark.parametrize(
    ("clients", "words"),
    [
        (["@mentra/skd"], "did you mean '@mentra/sdk'?"),
        (["mine"], "`shim codes` lists them"),
        ("rxjs", "clients"),
        ([1], "clients"),
    ],
)
def test_clients_that_nobody_knows(clients: Any, words: str) -> None:
    with pytest.raises(InputError, match="clients") as caught:
        settings(clients=clients)
    assert words in str(caught.value)
