"""The command line. Exit codes: 0 ok; 1 the answer is no; 2 usage or input error; 3 no evidence."""

import atexit
import gc

import click

from shim import __version__
from shim.cli.command_group import CommandGroup

COMMANDS = {
    "brake": "Engage, release or show the brake of a running shim.",
    "codes": "Show which clients come back after which close code.",
    "connections": "List the open connections of a running shim.",
    "demo": "Show a rollout with real WebSocket clients, which goes wrong and recovers.",
    "doctor": "Look at settings and surroundings, and say what is wrong.",
    "flags": "Check and explain the flags file, and compare two flags files.",
    "gate": "May the control be retired?",
    "init": "Write settings and flags to begin with, with comments.",
    "ledger": "Prepare the store of a fleet, and bring the ledgers of single processes into it.",
    "replay": "Replay a capture through both monitors, in virtual time.",
    "report": "Count what happened in a period: decisions, verdicts, agreement, returns.",
    "retire": "Ask the gate, write the report of the evidence, and print what to delete.",
    "rollout": "Show and take the steps of the plan in the settings.",
    "serve": "Run the reference server: glasses and apps over WebSockets, with the shim.",
    "simulate": "Simulate a fleet and its rollout in virtual time, and ask the gate.",
    "status": "Show where the rollout of a running shim is.",
    "tune": "Try several timeouts of the candidate on a capture.",
    "verdicts": "List the verdicts, or show one episode as a timeline.",
}
"""Each name is a module of this package that defines the command of that name; and what the command does."""


@click.command(
    cls=CommandGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, package_name="monitor-migration-shim")
def main() -> None:
    """Replace the health monitor of a WebSocket service in production, and know when that is safe."""


# Python ends with a search for garbage among all that was imported: up to a fifth of the time of a command.
atexit.register(gc.freeze)
