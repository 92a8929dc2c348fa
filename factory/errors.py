"""What the production line says when it cannot go on; the command line turns these into one line and an exit code."""


class InputError(ValueError):
    """The call was wrong: what was given, what was expected, what to do (exit code 2)."""


class WorkError(RuntimeError):
    """The call was right but the work failed (exit code 1)."""
