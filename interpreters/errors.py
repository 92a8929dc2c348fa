"""What goes wrong here, told to the person who can act on it in one line."""


class InputError(ValueError):
    """The call was wrong: what was given, what was expected, what to do."""
