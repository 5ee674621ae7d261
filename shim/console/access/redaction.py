"""The names of users for a visitor: operators see names, viewers see keyed hashes."""

from collections import OrderedDict
from collections.abc import Callable

from shim.console.access.access import Visitor

_MOST = 100_000


class Pseudonymizer:
    """Remembers the pseudonyms that were shown lately, so that links with them find the user."""

    def __init__(self, pseudonym: Callable[[str], str]) -> None:
        self._pseudonym = pseudonym
        self._shown: OrderedDict[str, str] = OrderedDict()

    def pseudonym(self, name: str) -> str:
        shown = self._pseudonym(name)
        self._shown[shown] = name
        self._shown.move_to_end(shown)
        if len(self._shown) > _MOST:
            self._shown.popitem(last=False)
        return shown

    def resolve(self, name: str) -> str:
        """The name for a pseudonym that was shown; any other text is a name already."""
        return self._shown.get(name, name)


class Names:
    """The names of one answer. A name that a viewer asked for is shown as it was asked for."""

    def __init__(
        self, pseudonymizer: Pseudonymizer, visitor: Visitor, asked: str | None = None
    ) -> None:
        self._pseudonymizer = pseudonymizer
        self.clear = visitor.is_operator
        """Whether everybody is named."""
        self._asked = asked

    def __call__(self, name: str) -> str:
        if self.clear or name == self._asked:
            return name
        return self._pseudonymizer.pseudonym(name)
