"""Pseudonyms: keyed, stable, and no two alike."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.runtime.pseudonyms import Pseudonyms

KEYS = st.text(st.characters(codec="utf-8"), min_size=1)
VALUES = st.text(st.characters(codec="utf-8"))


@given(key=KEYS, value=VALUES)
def test_it_is_hmac_sha256_by_its_definition(key: str, value: str) -> None:
    """RFC 2104: H(K xor opad, H(K xor ipad, text)), the key hashed first if it is over a block."""
    secret = key.encode()
    if len(secret) > 64:
        secret = hashlib.sha256(secret).digest()
    block = secret.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + value.encode()).digest()
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner).hexdigest()
    pseudonyms = Pseudonyms(key)
    assert pseudonyms(value) == outer[:16]
    assert pseudonyms(value) == outer[:16], "the second time, too"
    assert hmac.digest(key.encode(), value.encode(), "sha256").hex()[:16] == outer[:16]


@given(values=st.sets(VALUES, min_size=2))
def test_different_values_and_keys_have_different_pseudonyms(values: set[str]) -> None:
    one, other = Pseudonyms("one"), Pseudonyms("other")
    assert len({one(value) for value in values} | {other(value) for value in values}) == 2 * len(
        values
    )


def test_a_value_that_is_no_good_unicode_has_one() -> None:
    assert len(Pseudonyms("key")("\ud800")) == 16


def test_an_empty_key_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        Pseudonyms("")
