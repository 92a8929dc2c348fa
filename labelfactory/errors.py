"""The two ways in which a call can end badly; each carries one line for the person who can act on it."""


class InputError(ValueError):
    """The call was wrong: what was given, what was expected, what to do."""

    exit_code = 2


class WorkError(RuntimeError):
    """The call was right but the work failed (disk full, server gone, damaged data)."""

    exit_code = 1
