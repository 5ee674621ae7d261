"""All boards, as the texts of the files that are committed."""

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from boards import overview, triage


def files() -> dict[str, str]:
    """The text of each file, by its name."""
    encoder = JSONEncoder(indent=2, sort_keys=True, ensure_ascii=False)
    boards = {"overview.json": overview.board(), "mismatches.json": triage.board()}
    return {name: encoder.encode(board.build()) + "\n" for name, board in boards.items()}
