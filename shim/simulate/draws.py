"""Chance as a function: the same key and number always give the same draw.

No draw depends on the number of draws before it. So a simulation that skips uneventful times draws the
same values as a simulation that skips nothing, and a seed means the same whatever else changes.
"""

from enum import IntEnum
from math import exp, log
from statistics import NormalDist

_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15
_inverse_normal = NormalDist().inv_cdf


class Stream(IntEnum):
    """What is drawn for one user or client; xor-ed into the key, so that no draw is used for two things."""

    ROUND_TRIP = 0
    RESENT = 1
    MESSAGE = 2
    RECONNECT = 3
    AWAY = 4
    TROUBLES = 5
    FRAILTY = 6
    ARRIVAL = 7
    CUT = 8
    SAMPLE = 9


def key(parent: int, name: int) -> int:
    """A key for the thing `name` below the key `parent`; both are below 2**64."""
    return _mixed((parent ^ _mixed(name + _STEP)) + _STEP)


def uniform(key: int, number: int) -> float:
    """At least 0, below 1: draw `number` of this key."""
    return (_mixed(key + (number + 1) * _STEP) >> 11) * 2.0**-53


def exponential(key: int, number: int, mean: float) -> float:
    """A waiting time with this mean."""
    return -log(1.0 - uniform(key, number)) * mean


def lognormal(key: int, number: int, sigma: float) -> float:
    """A factor whose median is 1 and whose logarithm has the standard deviation `sigma`."""
    if not sigma:
        return 1.0
    # Half a step away from 0, where the inverse is infinite.
    return exp(sigma * _inverse_normal(uniform(key, number) + 2.0**-54))


def _mixed(value: int) -> int:
    """The finaliser of splitmix64 (Steele, Lea and Flood, 2014): every bit depends on every other."""
    value &= _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
