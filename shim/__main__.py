"""`python -m shim`."""

from shim.cli import main

main()
