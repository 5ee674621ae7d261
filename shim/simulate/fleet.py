"""The fleet: all users and their clients.

Troubles are drawn ahead and do not depend on what the server does. One that begins while its client is in
another, or is not connected, does not take place.
"""

from shim.flags.targeting import Targeting
from shim.model import Duration
from shim.simulate import draws
from shim.simulate.client_sort import ClientSort
from shim.simulate.draws import Stream
from shim.simulate.link import Link, User
from shim.simulate.scenario import Scenario


class Fleet:
    """All users and their clients."""

    def __init__(self, scenario: Scenario, rollout: Targeting) -> None:
        self.clients = [ClientSort(name, client) for name, client in scenario.clients.items()]
        self.users: list[User] = []
        self.links: list[Link] = []
        seed = draws.key(scenario.seed, 0)
        for index in range(scenario.users):
            user = _user(index, scenario, rollout, draws.key(seed, index))
            self.users.append(user)
            for client in self.clients:
                for number in range(client.settings.connections):
                    key = draws.key(seed, len(self.links) << 32 | 1)
                    self.links.append(Link(len(self.links), user, client, number, key=key))

    @property
    def longest_round_trip(self) -> Duration:
        return max(client.longest_round_trip for client in self.clients)


def _user(index: int, scenario: Scenario, rollout: Targeting, key: int) -> User:
    name = f"user-{index}@example.com"
    evaluation = rollout.evaluate(name)
    return User(
        name,
        evaluation.stage,
        placement=evaluation.placement,
        frailty=draws.lognormal(key ^ Stream.FRAILTY, 0, scenario.frailty),
        cut=draws.uniform(key ^ Stream.CUT, 0),
        sample=draws.uniform(key ^ Stream.SAMPLE, 0),
    )
