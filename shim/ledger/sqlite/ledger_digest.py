"""A digest of everything a ledger says, so that a report can be checked against it."""

import hashlib
import json
from pathlib import Path

from shim.ledger.rows import ROWS
from shim.ledger.sqlite.snapshot import snapshot


def ledger_digest(path: Path) -> tuple[str, int]:
    """SHA-256 over all rows, table by table in the order of their numbers, and how many they are.

    Each row counts as a line of JSON, a list that begins with the table's name. Raises InputError.
    """
    digest, rows = hashlib.sha256(), 0
    with snapshot(path) as ledger:
        for row in ROWS:
            for values in ledger.ask(f"SELECT * FROM {row.TABLE} ORDER BY id"):
                rows += 1
                line = json.dumps([row.TABLE, *values], ensure_ascii=False, separators=(",", ":"))
                digest.update(line.encode() + b"\n")
    return digest.hexdigest(), rows
