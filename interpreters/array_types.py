"""The array types under the name that the interpreters know them by; storage takes them from the ground, too."""

from labelfactory.array_types import Bool, Float, Int, Shaped, UInt8

__all__ = ["Bool", "Float", "Int", "Shaped", "UInt8"]
