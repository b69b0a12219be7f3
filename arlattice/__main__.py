"""``python -m arlattice`` is the command ``arlattice``."""

from arlattice.cli.main import main

main()
