"""What somebody asks for to wrap a network of their own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from labelfactory.factory.parameter import Parameter, check_fields


@dataclass(frozen=True)
class WrapOrder:
    """A network of somebody's own Python code as a generator's file."""

    module: Annotated[
        str,
        Parameter(
            "Function that gives the torch module, its weights loaded.",
            pattern=r"[A-Za-z_][\w.]*:[A-Za-z_]\w*",
            form="package.module:function",
        ),
    ]
    z_dim: Annotated[int, Parameter("Numbers of a latent, drawn from N(0, 1).", at_least=1, at_most=2**16)]
    out: Annotated[Path, Parameter("File of the generator (.safetensors).", place=True, writes="file")]

    def __post_init__(self) -> None:
        check_fields(self)
