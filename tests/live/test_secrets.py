"""Secrets from the environment: what is around them is left out, and what cannot be one is refused."""

import pytest

from shim.model import InputError
from shim.runtime.secrets import Secrets

GOOD = {
    "SHIM_JWT_SECRET": "j" * 32,
    "SHIM_OPERATOR_TOKEN": "o" * 16,
    "SHIM_HASH_KEY": "h" * 16,
    "SHIM_VIEWER_TOKEN": "v" * 16,
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def refused(**options: bool) -> list[str]:
    with pytest.raises(InputError) as caught:
        Secrets.from_environment(**options)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", "  {}\t", "\n\n{} \r\n", "\u00a0{}\u2028"])
@pytest.mark.parametrize("name", GOOD)
def test_what_is_around_a_secret_is_no_part_of_it(
    environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, around: str
) -> None:
    environment.setenv(name, around.format(GOOD[name]))
    found = Secrets.from_environment(reference_server=True)
    assert [found.jwt_secret, found.operator_token, found.hash_key, found.viewer_token] == [
        *GOOD.values()
    ]
    (line,) = caplog.messages
    assert line.startswith(f"{name}: the blanks or line ends around the secret")


@pytest.mark.parametrize(
    ("inner", "shown"),
    [
        ("\n", r"\n"),
        ("\r\n", r"\r"),
        ("\x01", r"\x01"),
        ("\x1b[0m", r"\x1b"),
        ("\u00a0", r"\xa0"),
        ("\u200b", r"\u200b"),
        ("\ufeff", r"\ufeff"),
        ("\udcff", r"\udcff"),
    ],
)
@pytest.mark.parametrize("name", GOOD)
def test_an_invisible_character_within_is_refused(
    environment: pytest.MonkeyPatch, name: str, inner: str, shown: str
) -> None:
    environment.setenv(name, f"xxxxx{inner}{GOOD[name]}")
    for dev in (False, True):
        assert refused(dev=dev, reference_server=True) == [
            f"{name}: character 6 is {shown}; a secret is one line of visible characters"
        ]


@pytest.mark.parametrize("name", GOOD)
def test_every_secret_has_a_least_length(environment: pytest.MonkeyPatch, name: str) -> None:
    least = len(GOOD[name])
    environment.setenv(name, "é" + "x" * (least - 3))
    (reason,) = refused(reference_server=True)
    assert reason.startswith(f"{name} is too short: it has {least - 1} of at least {least} bytes; ")
    assert Secrets.from_environment(dev=True, reference_server=True).made_up == {}
    environment.setenv(name, "é" + "x" * (least - 2))
    Secrets.from_environment(reference_server=True)


def test_everything_that_is_wrong_is_told_at_once(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("SHIM_JWT_SECRET")
    environment.setenv("SHIM_OPERATOR_TOKEN", " \r\n")
    environment.setenv("SHIM_HASH_KEY", "short")
    environment.setenv("SHIM_VIEWER_TOKEN", "two\nlines")
    jwt, operator, key, viewer = refused(reference_server=True)
    assert jwt == "SHIM_JWT_SECRET is not set (--dev makes one up)"
    assert operator == "SHIM_OPERATOR_TOKEN is not set (--dev makes one up)"
    assert key.startswith("SHIM_HASH_KEY is too short: ")
    assert viewer.startswith("SHIM_VIEWER_TOKEN: character 4 is ")


def test_a_viewer_with_the_token_of_an_operator_is_refused(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SHIM_VIEWER_TOKEN", f"{GOOD['SHIM_OPERATOR_TOKEN']}\n")
    assert refused() == ["SHIM_VIEWER_TOKEN is the same as SHIM_OPERATOR_TOKEN"]


def test_a_service_of_its_own_needs_no_secret_for_clients_tokens(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("SHIM_JWT_SECRET", "not\nread")
    assert Secrets.from_environment().operator_token == GOOD["SHIM_OPERATOR_TOKEN"]


def test_what_is_made_up_is_known_and_nothing_of_a_secret_is_in_its_text(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("SHIM_HASH_KEY", "\n")
    found = Secrets.from_environment(dev=True, reference_server=True)
    assert found.made_up == {"SHIM_HASH_KEY": found.hash_key}
    assert len(found.hash_key) == 64
    assert not any(value in repr(found) for value in (*GOOD.values(), found.hash_key))
