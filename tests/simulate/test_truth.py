"""What is known of a fleet shows in its figures."""

from collections import Counter

import pytest

from shim.model import Return, Role, VerdictKind, VerdictName
from tests.simulate.helpers import GONE, SDK, records, scenario

GONE_OFTEN = {"per_day": 20.0, "duration": {"table": {"75s": 0.5, "2m": 0.5}}}
SHADOW = {"percent": {"shadow": 100}}


def test_known_disagreement_is_what_is_found() -> None:
    one = scenario(
        users=100,
        days=0.5,
        rollout=SHADOW,
        candidate={"early": {"share": 0.2, "by": "20s"}},
        clients={"app": {"freezes": GONE_OFTEN}},
    )
    names = Counter(verdict.name for verdict in records(one).verdicts)
    total = names[VerdictName.MATCHED] + names[VerdictName.MISMATCHED]
    assert total > 500
    # Four standard deviations of so many episodes.
    assert names[VerdictName.MISMATCHED] / total == pytest.approx(0.2, abs=0.07)


def test_a_defect_by_user_has_all_of_a_users_episodes_or_none() -> None:
    one = scenario(
        users=60,
        days=0.5,
        rollout=SHADOW,
        candidate={"miss": {"share": 0.3, "by_user": True}},
        clients={"app": {"freezes": GONE_OFTEN}},
    )
    kinds: dict[str, set[VerdictKind]] = {}
    for verdict in records(one).verdicts:
        if verdict.name in (VerdictName.MATCHED, VerdictName.MISMATCHED):
            kinds.setdefault(verdict.connection.user, set()).add(verdict.kind)
    assert {frozenset(found) for found in kinds.values()} == {
        frozenset({VerdictKind.BOTH}),
        frozenset({VerdictKind.ONLY_CONTROL}),
    }


def test_after_1001_sdk_clients_stay_away() -> None:
    one = scenario(
        users=60,
        clients={"app": {"reconnect": SDK, "away": {"median": "1h"}, "freezes": GONE}},
        rollout={"holdback": 0, "percent": {"live": 50, "shadow": 50}},
    )
    results = Counter((outcome.role, outcome.result) for outcome in records(one).outcomes)
    assert results[Role.CONTROL, Return.RETURNED] > 10
    assert results[Role.CONTROL, Return.LOST] == 0
    assert results[Role.CANDIDATE, Return.LOST] > 10
    assert results[Role.CANDIDATE, Return.RETURNED] == 0


def test_a_short_pause_of_the_server_is_nobodys_silence() -> None:
    calm = {"app": {"freezes": {"per_day": 0.0, "duration": {"median": "1s"}}}}
    short = scenario(clients=calm, server={"pauses": [{"at": "1h", "duration": "20s"}]})
    assert records(short).verdicts == []


def test_a_long_pause_of_the_server_is_a_silence_to_the_control_alone() -> None:
    long = scenario(
        clients={"app": {}},
        rollout={"holdback": 0, "percent": {"live": 100}},
        server={"pauses": [{"at": "1h", "duration": "60s"}]},
    )
    verdicts = records(long).verdicts
    assert len(verdicts) == 20
    assert {(one.kind, one.recovered) for one in verdicts} == {(VerdictKind.ONLY_CONTROL, True)}


def test_a_cut_hits_its_share_of_users_and_a_deploy_everyone() -> None:
    cut = scenario(
        users=40,
        clients={"app": {}},
        rollout=SHADOW,
        server={"cuts": [{"at": "1h", "duration": "90s", "users": 0.5}]},
    )
    hit = {verdict.connection.user for verdict in records(cut).verdicts}
    assert 8 < len(hit) < 32

    deployed = scenario(clients={"app": {}}, server={"deploys": [{"at": "1h"}]})
    told = records(deployed)
    assert told.verdicts == []
    connected = sum(coverage.connected for coverage in told.coverages)
    assert connected < 20 * deployed.end
