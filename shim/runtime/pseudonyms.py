"""Keyed pseudonyms: users and sessions in records that leave the machine (`privacy` in the settings).

A plain hash of an e-mail address can be undone with a list of addresses; a keyed one cannot.
"""

import hmac

_DIGITS = 16


class Pseudonyms:
    """Callable: a value to its pseudonym, 16 hex digits of HMAC-SHA256 under the key.

    Two values share a pseudonym only by chance (64 bits). With the same key (`SHIM_HASH_KEY`) a value
    has the same pseudonym after every restart and on every node. An empty key raises ValueError.
    """

    def __init__(self, key: str) -> None:
        if not key:
            raise ValueError("the key of the pseudonyms is empty")
        self._keyed = hmac.new(key.encode(), digestmod="sha256")

    def __call__(self, value: str) -> str:
        mac = self._keyed.copy()
        mac.update(value.encode("utf-8", "surrogatepass"))
        return mac.hexdigest()[:_DIGITS]
