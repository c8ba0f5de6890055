"""`python -m tests.cluster`: see cli.py."""

from tests.cluster.cli import main

main()
