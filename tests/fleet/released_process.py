"""The program `FOLDER VERSION serve …`: a shim of another version, as the folder has it installed."""

import os
import sys

_PROGRAM = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import shim
shim.__version__ = sys.argv.pop(1)
from shim.cli import main
main()
"""


def main() -> None:
    """Python begins anew: the version is read when the modules of the shim are imported."""
    os.execv(sys.executable, [sys.executable, "-u", "-c", _PROGRAM, *sys.argv[1:]])
