"""Users as numbers: what is known of millions of them is a column, and a user's number the place in it.

A name is first cut down to a key of 64 bits, so that no names are kept. That two of a million users have the
same key has a probability of three in a hundred million. They would count as one user: one observation less.

Rules: docs/design.md#r16.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

Integers: TypeAlias = NDArray[np.int64]
Truths: TypeAlias = NDArray[np.bool_]

NEVER = np.iinfo(np.int64).max
"""A time that does not come."""

_FEW = 4096


class UserNumbers:
    """Numbers the keys of users from 0, without gaps: those that come together in the order of the keys."""

    def __init__(self) -> None:
        self._known = _SortedKeys()
        # New keys go to a few: to insert into millions takes milliseconds.
        self._recent = _SortedKeys()

    def __len__(self) -> int:
        return len(self._known.keys) + len(self._recent.keys)

    def of(self, keys: Integers) -> Integers:
        """The number of each key; a new key gets one."""
        unique, places = np.unique(keys, return_inverse=True)
        numbers = self._known.find(unique)
        unknown = np.flatnonzero(numbers < 0)
        if len(unknown):
            numbers[unknown] = self._of_recent(unique[unknown])
        return numbers[places]

    def _of_recent(self, keys: Integers) -> Integers:
        numbers = self._recent.find(keys)
        new = np.flatnonzero(numbers < 0)
        numbers[new] = np.arange(len(self), len(self) + len(new))
        self._recent = self._recent.with_new(keys[new], numbers[new])
        if len(self._recent.keys) > max(_FEW, len(self._known.keys) // 16):
            self._known = self._known.with_new(self._recent.keys, self._recent.numbers)
            self._recent = _SortedKeys()
        return numbers


class _SortedKeys:
    """Keys in their order, and the number of each."""

    def __init__(self, keys: Integers | None = None, numbers: Integers | None = None) -> None:
        self.keys = np.empty(0, np.int64) if keys is None else keys
        self.numbers = np.empty(0, np.int64) if numbers is None else numbers

    def find(self, keys: Integers) -> Integers:
        """The numbers of these keys, -1 for one that is not here."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        places = np.searchsorted(self.keys, keys)
        is_here = self.keys.take(places, mode="clip") == keys
        return np.where(is_here, self.numbers.take(places, mode="clip"), -1)

    def with_new(self, keys: Integers, numbers: Integers) -> "_SortedKeys":
        """With some more, in their order, which are not here yet."""
        places = np.searchsorted(self.keys, keys)
        return _SortedKeys(
            np.insert(self.keys, places, keys), np.insert(self.numbers, places, numbers)
        )


class UserValues:
    """A value of each user, by the users' numbers; `nothing` of a user who has no value yet."""

    def __init__(self, nothing: int, kind: DTypeLike = np.int64) -> None:
        self._nothing = nothing
        self.values: NDArray[Any] = np.empty(0, kind)

    def __getitem__(self, users: Integers) -> NDArray[Any]:
        self._reach(users)
        return self.values[users]

    def __setitem__(self, users: Integers, values: Any) -> None:
        self._reach(users)
        self.values[users] = values

    def _reach(self, users: Integers) -> None:
        missing = int(users.max(initial=-1)) + 1 - len(self.values)
        if missing > 0:
            more = max(missing, len(self.values) // 2)
            fill = np.full(more, self._nothing, self.values.dtype)
            self.values = np.concatenate((self.values, fill))
