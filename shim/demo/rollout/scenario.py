"""Who takes part in the rollout, its flags file, and its settings."""

from collections.abc import Mapping
from typing import Any

from shim.demo import scenario
from shim.demo.scenario import Behaviour, Client, scaled
from shim.model import Kind, Stage

FALSE_KILLS = 5
"""The brake engages at the fifth (R22, the settings' default)."""

_SHARES: Mapping[Behaviour, float] = {
    Behaviour.HEALTHY: 0.75,
    Behaviour.DROPPED: 0.15,
    Behaviour.FLAPPING: 0.10,
}
_FEWEST = 12
"""Users of a behaviour at least, so that some of them are at every stage that the file names."""

_NEW_RELEASE = 0.2
"""Users with the new client release, as a share of the others."""

FLAGS = """\
# The flags of the demo's second act; edited while the server runs.
version: 1
flag: monitor-rollout
hash: {{algorithm: blake2b-v1, salt: monitor-rollout-demo}}
kill_switch: false
default: off
holdback: 5
overrides: {{}}
rules: []
percent: {{complete: 0, live: {live}, shadow: {shadow}}}
...
"""


def flags_file(*, live: int = 0, shadow: int = 0) -> bytes:
    """The content of the flags file with these widths."""
    return FLAGS.format(live=live, shadow=shadow).encode()


def old_release(users: int) -> list[Client]:
    """Clients that behave, and some that lose their network."""
    clients = []
    for behaviour, share in _SHARES.items():
        for number in range(max(_FEWEST, round(share * users))):
            user = f"{behaviour}-{number + 1}@example.com"
            kinds = tuple(Kind) if behaviour is Behaviour.HEALTHY else (tuple(Kind)[number % 2],)
            clients += [Client(user, kind, behaviour, Stage.OFF) for kind in kinds]
    return clients


def new_release(users: int) -> list[Client]:
    """Apps of a bad client release: alive, but they nap for longer than the timeout."""
    number = max(_FEWEST, round(_NEW_RELEASE * users))
    return [
        Client(f"new-release-{n + 1}@example.com", Kind.APP, Behaviour.SILENT, Stage.OFF)
        for n in range(number)
    ]


def settings_value(factor: float, ledger: str, trace_url: str | None = None) -> dict[str, Any]:
    """As in act one, but with brake and guard as the seed would have them."""
    value = scenario.settings_value(factor, ledger, trace_url)
    value["brake"] = {"window": scaled(900, factor), "count": FALSE_KILLS}
    value["guard"] = {"window": scaled(30, factor), "hold": scaled(30, factor)}
    return value
