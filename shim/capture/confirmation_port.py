"""A port whose answers about the peer are captured."""

from collections.abc import Callable

from shim.model import Close, Confirmation
from shim.router import Port


class ConfirmationPort:
    """Passes every effect on to the port itself, and each answer of `confirm` to `found`."""

    __slots__ = ("_found", "_port")

    def __init__(self, port: Port, found: Callable[[Confirmation], None]) -> None:
        self._port = port
        self._found = found

    def ping(self, payload: bytes) -> None:
        self._port.ping(payload)

    def close(self, close: Close) -> None:
        self._port.close(close)

    def terminate(self) -> None:
        self._port.terminate()

    def forget(self) -> None:
        self._port.forget()

    def confirm(self) -> Confirmation:
        evidence = self._port.confirm()
        self._found(evidence)
        return evidence
