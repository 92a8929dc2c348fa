"""One module a command of the ``factory`` command line."""
