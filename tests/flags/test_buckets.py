"""R17: one bucket per user, the same in every version of the shim."""

from decimal import Decimal
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.flags.buckets import BUCKETS, bucket, buckets_of, holdback_salt

USERS = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("salt", "user", "expected"),
    [
        ("monitor-rollout", "alice@example.com", 83282),
        ("monitor-rollout", "bob@example.com", 58671),
        ("monitor-rollout", "Zoë@example.com", 74449),
        ("monitor-rollout-2026", "alice@example.com", 44442),
    ],
)
def test_the_vectors_of_the_design(salt: str, user: str, expected: int) -> None:
    assert bucket(salt, user) == expected


@given(salt=USERS, user=USERS)
def test_the_formula_of_the_design(salt: str, user: str) -> None:
    digest = blake2b(salt.encode() + b"\x00" + user.encode(), digest_size=8).digest()
    assert bucket(salt, user) == int.from_bytes(digest, "big") % 100_000


def test_a_user_counts_byte_for_byte() -> None:
    composed, decomposed = "Zo\u00eb", "Zoe\u0308"
    assert bucket("salt", composed) != bucket("salt", decomposed)
    assert bucket("salt", "A@example.com") != bucket("salt", "a@example.com")


def test_a_user_that_is_no_valid_text_has_a_bucket_all_the_same() -> None:
    assert 0 <= bucket("salt", "\ud800") < BUCKETS


def test_the_holdback_has_its_own_salt() -> None:
    assert holdback_salt("monitor-rollout") == "monitor-rollout:holdback"


@pytest.mark.parametrize(
    ("percent", "expected"),
    [("12.5", 12_500), ("0.001", 1), ("0", 0), ("100", 100_000), ("0.29", 290), ("57.3", 57_300)],
)
def test_widths_are_exact(percent: str, expected: int) -> None:
    assert buckets_of(Decimal(percent)) == expected


@pytest.mark.parametrize("percent", ["-0.001", "100.001", "0.0005", "12.3456"])
def test_widths_that_are_none(percent: str) -> None:
    with pytest.raises(ValueError, match=percent):
        buckets_of(Decimal(percent))
