"""Logins and pseudonyms end and are forgotten; nothing grows without bound."""

import pytest

from shim.console.access.access import Visitor
from shim.console.access.login_sessions import CODE_LIFETIME, LIFETIME, AccessLevel, Logins
from shim.console.access.redaction import Names, Pseudonymizer
from shim.model import SECOND


def test_a_login_ends_by_itself() -> None:
    now = 0
    logins = Logins(lambda: now)
    cookie, login = logins.open(AccessLevel.VIEWER)
    assert logins.find(cookie) == login
    assert logins.find(cookie + "x") is None
    now = LIFETIME - SECOND
    assert logins.find(cookie) == login
    now = LIFETIME
    assert logins.find(cookie) is None
    now = 0
    assert logins.find(cookie) is None


@pytest.mark.parametrize("level", AccessLevel)
def test_the_oldest_of_too_many_logins_ends(level: AccessLevel) -> None:
    logins = Logins(lambda: 0)
    first, _ = logins.open(level)
    second, _ = logins.open(level)
    for _ in range(999):
        latest, _ = logins.open(level)
    assert logins.find(first) is None
    assert logins.find(second) is not None
    assert logins.find(latest) is not None


def test_however_many_viewers_log_in_no_operators_login_ends() -> None:
    logins = Logins(lambda: 0)
    operator, login = logins.open(AccessLevel.OPERATOR)
    for _ in range(3000):
        logins.open(AccessLevel.VIEWER)
    assert logins.find(operator) == login


def test_a_code_is_for_one_login_within_an_hour() -> None:
    now = 0
    logins = Logins(lambda: now)
    first, second, third = (logins.issue_code() for _ in range(3))
    assert len({first, second, third}) == 3
    assert logins.use_code(first)
    assert not logins.use_code(first)
    assert not logins.use_code("")
    now = CODE_LIFETIME - 1
    assert logins.use_code(second)
    now = CODE_LIFETIME
    assert not logins.use_code(third)


def test_no_two_logins_share_anything() -> None:
    logins = Logins(lambda: 0)
    (cookie, login), (other_cookie, other) = (logins.open(AccessLevel.OPERATOR) for _ in range(2))
    assert len({cookie, other_cookie, login.csrf, other.csrf}) == 4
    assert len(cookie) >= 43


def test_pseudonyms_lead_back_as_long_as_they_are_remembered() -> None:
    register = Pseudonymizer(lambda name: f"<{name}>")
    names = Names(register, Visitor(AccessLevel.VIEWER, "a viewer"))
    assert register.resolve("<alice>") == "<alice>"
    assert names("alice") == "<alice>"
    assert register.resolve("<alice>") == "alice"
    for number in range(100_000):
        names(f"user-{number}")
    assert register.resolve("<alice>") == "<alice>"
    assert register.resolve("<user-0>") == "user-0"
