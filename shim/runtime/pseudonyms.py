"""Keyed pseudonyms: users and sessions in records that leave the machine (`privacy` in the settings).

A plain hash of an e-mail address can be undone with a list of addresses; a keyed one cannot.
"""

from hashlib import sha256

_DIGITS = 16
_BLOCK = 64
"""The bytes of SHA-256's block: longer keys are hashed first (RFC 2104 section 2)."""


class Pseudonyms:
    """Callable: a value to its pseudonym, 16 hex digits of HMAC-SHA256 under the key.

    Two values share a pseudonym only by chance (64 bits). With the same key (`SHIM_HASH_KEY`) a value
    has the same pseudonym after every restart and on every node. An empty key raises ValueError.
    """

    def __init__(self, key: str) -> None:
        if not key:
            raise ValueError("the key of the pseudonyms is empty")
        secret = key.encode()
        if len(secret) > _BLOCK:
            secret = sha256(secret).digest()
        padded = secret.ljust(_BLOCK, b"\0")
        # What `hmac` does at each copy of its own state takes twice as long as all else here.
        self._inner = sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in padded))

    def __call__(self, value: str) -> str:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(value.encode("utf-8", "surrogatepass"))
        outer.update(inner.digest())
        return outer.hexdigest()[:_DIGITS]
