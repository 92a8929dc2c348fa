"""The numbers of a training run that every family has."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any, TypeVar

from labelfactory.factory.amplify import TOLD
from labelfactory.factory.parameter import Parameter, check_fields

AnyRecipe = TypeVar("AnyRecipe", bound="TrainingRecipe")


@dataclass(frozen=True)
class TrainingRecipe:
    """Two runs with equal recipe and data are equal on the same CPU.

    ema_rampup   None: no limit
    """

    batch: Annotated[int, Parameter("Images a step, over all processes.", at_least=1, at_most=2**16)] = 32
    learning_rate: Annotated[float, Parameter("Learning rate (Adam).", at_least=1e-8, at_most=1)] = 0.002
    ema_kimg: Annotated[
        float,
        Parameter("Half-life of the weights' moving average, thousand images.", at_least=0, at_most=1e6),
    ] = 10.0
    ema_rampup: Annotated[
        float | None,
        Parameter(
            "Limit of the moving average's half-life, as a share of the images seen so far.", more_than=0, at_most=1e6
        ),
    ] = 0.05
    amplify: Annotated[str, Parameter("Pictures that each real one counts as.", choices=TOLD)] = "none"
    precision: Annotated[str, Parameter("Precision.", choices=("float32", "bfloat16", "float16"))] = "float32"
    seed: Annotated[int, Parameter("Seed of the weights and of everything random.", at_least=0, at_most=2**63 - 1)] = 0

    def __post_init__(self) -> None:
        check_fields(self)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def changed(self: AnyRecipe, **wishes: Any) -> AnyRecipe:
        """With the wishes that are not None."""
        return replace(self, **{name: value for name, value in wishes.items() if value is not None})

    @classmethod
    def from_dict(cls: type[AnyRecipe], values: dict[str, Any]) -> AnyRecipe:
        """The recipe in a snapshot. Names of another release are left out."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})

    def ema_share(self, images_seen: int) -> float:
        """Share of the average that one more batch leaves: the half-life in images (arXiv 1710.10196, section 4.2),
        limited early on (StyleGAN2-ADA, appendix C)."""
        half_life = self.ema_kimg * 1000
        if self.ema_rampup is not None:
            half_life = min(half_life, images_seen * self.ema_rampup)
        return float(0.5 ** (self.batch / max(half_life, 1e-8)))
