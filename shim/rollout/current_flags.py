"""The flags in force: what one whole flags file says, and which file that is."""

from pathlib import Path
from typing import Any

from shim.flags.deciding import deciding_text
from shim.flags.evaluation import Evaluation
from shim.flags.targeting import Targeting
from shim.model import FlagsLoad, InputError, Time, seconds
from shim.rollout.changes import Change, find_change
from shim.settings.flags_file import FlagsFile


class CurrentFlags:
    """Answers at each registration; the watcher swaps the whole content.

    `loaded_at` is the time at which the active file came into force, `problem` what is wrong with the
    present file (None: the present file is the active file), `problem_without_names` the same without what
    stands in the file.
    """

    def __init__(self, loaded: FlagsFile, now: Time) -> None:
        self.path: Path = loaded.path
        self.targeting: Targeting = loaded.targeting
        self.digest = loaded.digest
        self.loaded_at = now
        self.problem: str | None = None
        self.problem_without_names: str | None = None

    def evaluate(self, user: str) -> Evaluation:
        """The user's stage and the reason, without the brake, which belongs to the router."""
        return self.targeting.evaluate(user)

    def first_load(self) -> FlagsLoad:
        """The record of the flags at the start; it reads the file's changes."""
        change = find_change(self.path, self.digest)
        return self._record(self.loaded_at, self.digest, None, change)

    def take(self, loaded: FlagsFile, now: Time, change: Change | None = None) -> FlagsLoad:
        """Put a good file in force; if it is the active file again, its problem ends."""
        before = self.digest
        if loaded.digest != before:
            self.targeting, self.digest, self.loaded_at = loaded.targeting, loaded.digest, now
        self.problem = self.problem_without_names = None
        return self._record(now, loaded.digest, before, change)

    def refuse(self, digest: str, error: InputError, now: Time) -> FlagsLoad:
        """Keep the active file; the present file cannot be used."""
        first, *others = error.problems
        more = (
            f" (and {len(others)} more problem{'s' if len(others) > 1 else ''})" if others else ""
        )
        self.problem = f"{first}{more}"
        self.problem_without_names = f"{first.without_names}{more}"
        return self._record(now, digest, self.digest)

    def as_dict(self, now: Time) -> dict[str, Any]:
        """For operators: the active file, its age in seconds, and the problem of the present file."""
        return {
            "file": str(self.path),
            "flag": self.targeting.flag,
            "digest": self.digest,
            "age": seconds(now - self.loaded_at),
            "problem": self.problem,
        }

    def _record(
        self, at: Time, digest: str, before: str | None, change: Change | None = None
    ) -> FlagsLoad:
        by, reason = (None, None) if change is None else (change.by, change.reason)
        return FlagsLoad(
            at=at,
            file=str(self.path),
            digest=digest,
            before=before,
            problem=self.problem,
            problem_without_names=self.problem_without_names,
            by=by,
            reason=reason,
            deciding=deciding_text(self.targeting),
        )
