"""How long a question to a ledger may take: who asks says so, and the store keeps to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Inside the context, and in threads begun there, questions end with UnusableError after so long, or
    earlier if somebody outside said so."""
    deadline = monotonic() + seconds
    outer = _deadline.get()
    token = _deadline.set(deadline if outer is None else min(outer, deadline))
    try:
        yield
    finally:
        _deadline.reset(token)


def time_left() -> float | None:
    """Seconds until a question has to end, below 0 afterwards; None: it may take any time."""
    deadline = _deadline.get()
    return None if deadline is None else deadline - monotonic()
