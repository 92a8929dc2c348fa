"""placeholder"""


def plan() -> None:
    """x"""
