"""How users are named to a visitor: operators see addresses, viewers see keyed hashes."""

from collections import OrderedDict
from collections.abc import Callable

from shim.console.access.access import Visitor

_MOST = 100_000


class Pseudonymizer:
    """Remembers which pseudonyms were shown lately, so that links made of them lead back."""

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
        """The name behind a pseudonym that was shown; any other name is itself."""
        return self._shown.get(name, name)


class Names:
    """The names of one answer. What a viewer asked for by its address is shown as it was asked."""

    def __init__(
        self, pseudonymizer: Pseudonymizer, visitor: Visitor, asked: str | None = None
    ) -> None:
        self._pseudonymizer = pseudonymizer
        self._clear = visitor.is_operator
        self._asked = asked

    def __call__(self, name: str) -> str:
        if self._clear or name == self._asked:
            return name
        return self._pseudonymizer.pseudonym(name)
