"""What a plugin's answer has to be, field by field (R5)."""

import re
from typing import Any

import pytest

from shim.model import (
    Close,
    Confirm,
    Decision,
    Forget,
    Note,
    Pings,
    Pulse,
    Terminate,
)
from shim.router.validation import (
    LONGEST_PING,
    CallFailed,
    blame,
    check_pulse,
    check_requests,
    shown,
)
from tests.router.contract_breaches import Unprintable

NOW = 60


class _Field:
    """Plugin code where a plain slot should be."""

    def __get__(self, pulse: object, owner: object = None) -> int:
        return 0

    def __set__(self, pulse: object, value: object) -> None: ...


def pulse_with(**members: Any) -> Pulse:
    """A pulse of a class that has these members besides."""
    made: Pulse = type("Sly", (Pulse,), members)(0)
    return made


def test_a_pulse_is_taken_as_it_is() -> None:
    pulse = Pulse(5)
    assert check_pulse(pulse) is pulse
    own = pulse_with(more=1)
    assert check_pulse(own) is own


@pytest.mark.parametrize("name", ["last_seen", "last_data", "owner", "ping"])
def test_each_field_that_is_read_per_message_is_a_plain_slot(name: str) -> None:
    with pytest.raises(CallFailed, match="register: answered a Pulse whose"):
        check_pulse(pulse_with(**{name: _Field()}))


@pytest.mark.parametrize("name", ["__setattr__", "__getattribute__"])
def test_no_code_runs_where_a_field_is_read_or_written(name: str) -> None:
    def plain(pulse: object, *arguments: Any) -> Any:
        return getattr(object, name)(pulse, *arguments)

    with pytest.raises(CallFailed, match="register: answered a Pulse whose"):
        check_pulse(pulse_with(**{name: plain}))


@pytest.mark.parametrize(("last_seen", "last_data"), [(True, 0), (0, 1.0), ("0", 0), (0, None)])
def test_both_times_are_whole_numbers(last_seen: Any, last_data: Any) -> None:
    pulse = Pulse(0)
    pulse.last_seen, pulse.last_data = last_seen, last_data
    with pytest.raises(CallFailed, match="register: answered a Pulse"):
        check_pulse(pulse)


def test_what_is_no_pulse_is_refused() -> None:
    for answer in (None, 5, object(), Pulse):
        with pytest.raises(CallFailed, match="not a Pulse"):
            check_pulse(answer)


CLOSE = Close(1001, "gone", 5)


def decision(**changes: Any) -> Decision:
    fields: Any = {"at": NOW, "deadline": NOW, "effects": (CLOSE, Forget())}
    fields |= changes
    return Decision("c1", silence=45, **fields)


GOOD = [
    decision(),
    decision(effects=(Terminate(),)),
    decision(effects=(Forget(), Terminate())),
    decision(deadline=NOW - 5),
    Pings([Pulse(0)]),
    Pings((Pulse(0),)),
    Note("hello"),
    Confirm("c1"),
]


def described(request: object) -> str:
    """The same in each run: without the addresses of objects in memory."""
    return re.sub(" object at 0x[0-9a-f]+", "", shown(request))


@pytest.mark.parametrize("request_", GOOD, ids=described)
def test_what_is_good_is_taken(request_: Any) -> None:
    check_requests("wake", [request_], NOW)
    if type(request_) is not Confirm:
        check_requests("confirmed", [request_, request_], NOW)


class _Text(str):
    __slots__ = ()


class _Subclass(Decision):
    pass


class _Pause(Close):
    pass


BAD = [
    decision(at=NOW - 1),
    decision(at=NOW + 1),
    decision(at=float(NOW)),
    decision(deadline=float(NOW)),
    decision(effects=[CLOSE]),
    decision(effects=()),
    decision(effects=(Forget(),)),
    decision(effects=(CLOSE, Note("no effect"))),
    decision(effects=(CLOSE, None)),
    decision(effects=(_Pause(1001, "", 5),)),
    decision(effects=(Close(1001.0, "", 5),)),  # type: ignore[arg-type]
    decision(effects=(Close(1001, b"", 5),)),  # type: ignore[arg-type]
    decision(effects=(Close(1001, _Text(), 5),)),
    decision(effects=(Close(1001, "", 5.0),)),  # type: ignore[arg-type]
    decision(effects=(CLOSE, Close(True, "", 5))),
    Decision(_Text("c1"), NOW, NOW, 45, (CLOSE,)),
    _Subclass("c1", NOW, NOW, 45, (CLOSE,)),
    Confirm(_Text("c1")),
    Confirm(5),  # type: ignore[arg-type]
    Note(_Text("hello")),
    Note(None),  # type: ignore[arg-type]
    Pings({Pulse(0)}),  # type: ignore[arg-type]
    Pings(None),  # type: ignore[arg-type]
    None,
    Pings,
    "ping",
]


@pytest.mark.parametrize("request_", BAD, ids=described)
def test_what_is_bad_fails_the_call_that_it_answers(request_: Any) -> None:
    with pytest.raises(CallFailed) as caught:
        check_requests("wake", [*GOOD, request_], NOW)
    assert caught.value.call == "wake"
    assert str(caught.value) == f"wake: {caught.value.reason}"


def test_a_confirmation_asks_for_no_other() -> None:
    with pytest.raises(CallFailed, match="confirmed: "):
        check_requests("confirmed", [Confirm("c1")], NOW)


def test_which_calls_are_about_one_connection() -> None:
    calls = ("create", "register", "unregister", "pong", "wake", "confirmed", "paused", "next_wake")
    about = [call for call in calls if CallFailed(call, "no").about_connection]
    assert about == ["register", "unregister", "pong", "confirmed"]


class _Unspeakable(ValueError):
    def __str__(self) -> str:
        raise RuntimeError


def test_blame_names_the_error() -> None:
    assert blame("wake", ValueError("no")).reason == "ValueError: no"
    assert blame("wake", _Unspeakable()).reason == "_Unspeakable"
    assert len(blame("wake", ValueError("x" * 1_000)).reason) == 500
    assert blame("wake", SystemExit(3)).call == "wake"
    with pytest.raises(KeyboardInterrupt):
        blame("wake", KeyboardInterrupt())


def test_a_strangers_object_is_shown_in_brief() -> None:
    assert shown([1]) == "[1]"
    assert shown("x" * 200) == repr("x" * 200)[:80]
    assert shown(Unprintable()) == "an unprintable Unprintable"


def test_the_longest_ping_is_that_of_the_rfc() -> None:
    assert LONGEST_PING == 125
