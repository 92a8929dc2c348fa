"""Pictures from noise by deterministic DDIM (Song et al., arXiv 2010.02502, eta 0)."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from labelfactory.interpreters.array_types import Float


def ddim(schedule: Any) -> Any:
    """The ``DDIMScheduler`` of the noise that a model was trained on."""
    import diffusers

    return diffusers.DDIMScheduler.from_config(schedule.config)


def sample(
    predict: Callable[[Tensor, Tensor], Tensor],
    schedule: Any,
    x: Float[Tensor, "batch channels rows columns"],
    steps: int,
) -> Float[Tensor, "batch channels rows columns"]:
    """What ``predict(x, t)`` makes of noise x in a number of steps."""
    scheduler = ddim(schedule)
    scheduler.set_timesteps(steps, device=x.device)
    for t in scheduler.timesteps:
        x = scheduler.step(predict(x, t), t, x, eta=0.0).prev_sample
    return x
