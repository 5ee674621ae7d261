"""A warning about clients that would not come back (docs/design.md#purpose)."""

from itertools import islice

from shim.flags import Targeting, places_of_acting_candidate
from shim.settings import Settings

STAY_AWAY = {1000, 1001, 1008}
"""Close codes after which the client `@mentra/sdk` does not connect again."""

_NAMED_PLACES = 3


def close_code_warning(settings: Settings, targeting: Targeting) -> str | None:
    """A warning if the candidate may act with a close code after which known clients stay away.

    None if no user can become `live` or `complete`, or if the candidate closes in another way.
    """
    code = getattr(settings.monitors.candidate.settings, "close_code", None)
    if code not in STAY_AWAY:
        return None
    places = places_of_acting_candidate(targeting)
    named = list(islice(places, _NAMED_PLACES))
    if not named:
        return None
    more = sum(1 for _ in places)
    where = ", ".join(named) + (f" and {more} more" if more else "")
    return (
        f"the candidate may act ({where}) and closes with {code} "
        f"(monitors.candidate.close_code): after it @mentra/sdk clients stay away; "
        "after 1012 or 4000 they come back"
    )
