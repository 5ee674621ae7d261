"""Clients that are not served."""

POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013


class ClientRefused(Exception):
    """This client is not served; the reason may be told to it, `code` closes its WebSocket."""

    def __init__(self, reason: str, code: int = POLICY_VIOLATION) -> None:
        super().__init__(reason)
        self.code = code
