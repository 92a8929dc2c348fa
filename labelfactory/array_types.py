"""jaxtyping's array types, or harmless stand-ins on a machine that has only torch and numpy."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Shaped, UInt8, UInt64
else:
    try:
        from jaxtyping import Bool, Float, Int, Shaped, UInt8, UInt64
    except ImportError:

        class _Unchecked:
            """``Float[Tensor, "batch"]`` is then just ``Tensor``."""

            def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
                return item[0]

        Bool = Float = Int = Shaped = UInt8 = UInt64 = _Unchecked

__all__ = ["Bool", "Float", "Int", "Shaped", "UInt8", "UInt64"]
