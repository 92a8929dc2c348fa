"""Numbers that stores and interpreters must agree on."""

IGNORE_INDEX = 255
"""The mask value that means "not labelled"."""

MAX_CLASSES = 255
"""Classes have the mask values 0 to 254."""

HALF_MAX = 65504.0
"""The largest float16."""

TRUNCATION = 0.7
"""The truncation ψ of sampling where nobody says another one."""

UNFIT = 60000.0
"""An uncertainty score from which no reader keeps a sample: what made it says that its labels do not fit."""
