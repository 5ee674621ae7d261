"""OpenFeature both ways, through the real SDK."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagResolutionDetails
from openfeature.provider import FeatureProvider, ProviderStatus
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

from shim.flags.evaluation import Reason
from shim.flags.targeting import Percentages, Rule, Targeting, everyone_at
from shim.model import Stage
from shim.openfeature import FileProvider, OpenFeatureStages, ShimProvider
from shim.rollout.current_flags import CurrentFlags
from shim.settings.flags_file import FlagsFile, load_flags_file
from tests.rollout.files import USER, flags, put

ALICE, BOB = "alice@example.com", "bob@example.com"  # buckets 83282 and 58671
FLAG = "monitor-rollout"
ROLLOUT = Targeting(
    FLAG,
    "monitor-rollout",
    overrides={"ann": Stage.COMPLETE},
    rules=(
        Rule("staff", ("*@staff",), stage=Stage.LIVE),
        Rule("beta", ("b*",), percent=Percentages(live=60)),
    ),
    percent=Percentages(shadow=50),
)


@pytest.fixture(autouse=True)
def _clean_api() -> Iterator[None]:
    yield
    api.shutdown()
    api.clear_providers()


def client_of(provider: FeatureProvider) -> OpenFeatureClient:
    api.set_provider_and_wait(provider, domain="test")
    return api.get_client("test")


def live(rollout: Targeting) -> CurrentFlags:
    return CurrentFlags(FlagsFile(rollout, Path("rollout.yaml"), "d1g357"), 0)


# -- Our file as a provider ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "stage", "reason"),
    [
        ("ann", "complete", "TARGETING_MATCH"),
        ("x@staff", "live", "TARGETING_MATCH"),
        (BOB, "live", "SPLIT"),
        (ALICE, "off", "DEFAULT"),
    ],
)
def test_stages_are_variants(user: str, stage: str, reason: str) -> None:
    details = client_of(ShimProvider(live(ROLLOUT))).get_string_details(
        FLAG, "none", EvaluationContext(user)
    )
    assert (details.value, details.variant, details.reason) == (stage, stage, reason)
    assert details.flag_metadata["digest"] == "d1g357"
    assert details.flag_metadata["bucket"] == ROLLOUT.evaluate(user).bucket


def test_what_lowers_a_stage() -> None:
    held = live(Targeting(FLAG, "s", holdback=100, default=Stage.LIVE))
    details = client_of(ShimProvider(held)).get_string_details(FLAG, "x", EvaluationContext(BOB))
    assert (details.value, details.reason) == ("shadow", "SPLIT")
    assert details.flag_metadata["lowered_by"] == "holdback"
    killed = live(Targeting(FLAG, "s", kill_switch=True, default=Stage.LIVE))
    details = client_of(ShimProvider(killed)).get_string_details(FLAG, "x", EvaluationContext(BOB))
    assert (details.value, details.reason) == ("off", "DISABLED")


def test_errors_give_the_callers_default() -> None:
    client = client_of(ShimProvider(live(ROLLOUT)))
    details = client.get_string_details("other", "none", EvaluationContext(BOB))
    assert (details.value, details.error_code) == ("none", ErrorCode.FLAG_NOT_FOUND)
    details = client.get_string_details(FLAG, "none")
    assert (details.value, details.error_code) == ("none", ErrorCode.TARGETING_KEY_MISSING)
    context = EvaluationContext(BOB)
    for wrong in (
        client.get_boolean_details(FLAG, True, context),
        client.get_integer_details(FLAG, 1, context),
        client.get_float_details(FLAG, 1.0, context),
        client.get_object_details(FLAG, {}, context),
    ):
        assert wrong.error_code == ErrorCode.TYPE_MISMATCH
    assert client.get_boolean_details("other", True, context).error_code is ErrorCode.FLAG_NOT_FOUND


def test_a_file_provider_keeps_up_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "rollout.yaml"
    put(path, flags("shadow"))
    client = client_of(FileProvider(path))
    context = EvaluationContext(USER)
    told: dict[ProviderEvent, threading.Event] = {}
    for event in (ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, ProviderEvent.PROVIDER_STALE):
        told[event] = happened = threading.Event()

        def tell(details: EventDetails, happened: threading.Event = happened) -> None:
            happened.set()

        client.add_handler(event, tell)
    assert client.get_string_value(FLAG, "none", context) == "shadow"
    put(path, flags("live"))
    assert told[ProviderEvent.PROVIDER_CONFIGURATION_CHANGED].wait(30)
    assert client.get_string_value(FLAG, "none", context) == "live"
    put(path, "version: 1\n")
    assert told[ProviderEvent.PROVIDER_STALE].wait(30)
    assert client.get_provider_status() == ProviderStatus.STALE
    assert client.get_string_value(FLAG, "none", context) == "live"
    ready = threading.Event()
    client.add_handler(ProviderEvent.PROVIDER_READY, lambda details: ready.set())
    put(path, flags("complete"))
    assert ready.wait(30)
    assert client.get_provider_status() == ProviderStatus.READY


def test_a_file_that_is_bad_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "rollout.yaml"
    path.write_text("version: 1\n")
    api.set_provider_and_wait(InMemoryProvider({}), domain="test")
    with pytest.raises(Exception, match="last line must be"):
        client_of(FileProvider(path))


# -- Another provider decides our stage ------------------------------------------------------------


def memory(variant: str) -> InMemoryProvider:
    def decide(flag: InMemoryFlag[str], context: EvaluationContext) -> FlagResolutionDetails[str]:
        value = "live" if context.targeting_key == BOB else flag.variants[flag.default_variant]
        return FlagResolutionDetails(value, reason="SPLIT" if value == "live" else "STATIC")

    flag = InMemoryFlag(variant, {variant: variant}, context_evaluator=decide)
    return InMemoryProvider({FLAG: flag})


def test_another_provider_decides() -> None:
    stages = OpenFeatureStages(client_of(memory("shadow")))
    bob, alice = stages.evaluate(BOB), stages.evaluate(ALICE)
    assert (bob.stage, bob.reason, bob.detail) == (Stage.LIVE, Reason.PROVIDER, "SPLIT")
    assert (alice.stage, alice.detail) == (Stage.SHADOW, "STATIC")
    assert (bob.by_percentage, alice.by_percentage) == (True, False)
    assert "The OpenFeature provider gives live: SPLIT." in bob.explain()


def test_a_value_that_is_no_stage(caplog: pytest.LogCaptureFixture) -> None:
    fallback = everyone_at(Stage.SHADOW).evaluate
    stages = OpenFeatureStages(client_of(memory("lvie")), fallback=fallback)
    evaluation = stages.evaluate(ALICE)
    assert (evaluation.stage, evaluation.reason) == (Stage.SHADOW, Reason.DEFAULT)
    assert evaluation.detail == "'lvie' is no stage"
    assert "gave no stage: 'lvie' is no stage" in evaluation.explain()
    assert evaluation.as_dict()["detail"] == evaluation.detail
    stages.evaluate(ALICE)
    assert [r.levelno for r in caplog.records] == [logging.ERROR]


def test_a_missing_flag_without_a_file_is_off() -> None:
    evaluation = OpenFeatureStages(client_of(InMemoryProvider({}))).evaluate(ALICE)
    assert (evaluation.stage, evaluation.detail) == (Stage.OFF, "FLAG_NOT_FOUND")


def test_a_provider_that_raises_is_a_fallback() -> None:
    class Broken(InMemoryProvider):
        def resolve_string_details(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
            raise RuntimeError("boom")

    evaluation = OpenFeatureStages(client_of(Broken({}))).evaluate(ALICE)
    assert (evaluation.stage, evaluation.detail) == (Stage.OFF, "GENERAL")


def test_there_and_back(tmp_path: Path) -> None:
    """Our file through a provider gives the stages of the file."""
    path = tmp_path / "rollout.yaml"
    path.write_text(Path("config/rollout.yaml").read_text().replace("live: 0", "live: 40"))
    rollout = load_flags_file(path).targeting
    stages = OpenFeatureStages(client_of(FileProvider(path)))
    users = [f"user{number}" for number in range(200)]
    assert [stages.evaluate(user).stage for user in users] == [
        rollout.evaluate(user).stage for user in users
    ]
    assert {rollout.evaluate(user).stage for user in users} == {Stage.OFF, Stage.SHADOW, Stage.LIVE}
