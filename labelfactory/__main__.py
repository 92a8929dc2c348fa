"""``python -m labelfactory``: the command line."""

from labelfactory.flows.cli import main

main()
