"""The command line. Exit codes: 0 ok; 1 the answer is no; 2 usage or input error; 3 no evidence."""

import click

from shim import __version__
from shim.cli.brake import brake
from shim.cli.connections import connections
from shim.cli.demo import demo
from shim.cli.flags import flags
from shim.cli.gate import gate
from shim.cli.replay import replay
from shim.cli.retire import retire
from shim.cli.rollout import rollout
from shim.cli.serve import serve
from shim.cli.simulate import simulate
from shim.cli.status import status
from shim.cli.verdicts import verdicts


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="monitor-migration-shim")
def main() -> None:
    """Replace a WebSocket health monitor in production, and know when it is safe."""


for command in (
    brake,
    connections,
    demo,
    flags,
    gate,
    replay,
    retire,
    rollout,
    serve,
    simulate,
    status,
    verdicts,
):
    main.add_command(command)
