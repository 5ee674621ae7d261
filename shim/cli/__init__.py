"""The command line. Exit codes: 0 ok; 1 the answer is no; 2 usage or input error; 3 no evidence."""

from importlib import import_module

import click

from shim import __version__

COMMANDS = (
    "brake",
    "connections",
    "demo",
    "flags",
    "gate",
    "replay",
    "retire",
    "rollout",
    "serve",
    "simulate",
    "status",
    "tune",
    "verdicts",
)
"""Each name is a module of this package that defines the command of that name."""


class _Commands(click.Group):
    """Imports a command when the command runs: `shim gate` need not import a WebSocket server."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"shim.cli.{cmd_name}"), cmd_name)
        return command


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="monitor-migration-shim")
def main() -> None:
    """Replace the health monitor of a WebSocket service in production, and know when that is safe."""
