"""The ways in which a call can end badly; each carries one line for the person who can act on it."""


class InputError(ValueError):
    """The call was wrong: what was given, what was expected, what to do."""

    exit_code = 2


class WorkError(RuntimeError):
    """The call was right but the work failed (disk full, server gone, damaged data)."""

    exit_code = 1


class Interrupted(WorkError):
    """A person ended the work: what is kept, and what the same call does next."""

    exit_code = 130
