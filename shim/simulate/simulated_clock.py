"""The two clocks of a simulation."""

from shim.model import Time


class Clock:
    """`now` is the world's time. For a paused server everything happens when it runs again."""

    __slots__ = ("now", "paused_until")

    def __init__(self) -> None:
        self.now: Time = 0
        self.paused_until: Time = 0

    def server(self) -> Time:
        """The server's time."""
        return self.now if self.now > self.paused_until else self.paused_until
