"""Images per second of training: 64 px, preset tiny, batch 16, both networks' steps with everything lazy in its turn.

    python benchmarks/train_generator.py [--precision float32] [--preset tiny] [--steps 64] [--compile]

Beside the rate it prints the share of the device's matrix peak: floating-point operations of the networks' matrix
products and convolutions (counted by PyTorch while one cycle of the lazy steps runs) a second, against those of one
large matrix product in the same number format.
"""

import argparse
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from labelfactory.factory.stylegan2_ada.presets import preset
from labelfactory.factory.stylegan2_ada.snapshots import in_precision
from labelfactory.factory.stylegan2_ada.training import StyleGAN2Trainer, new_networks
from labelfactory.factory.training.parallel import join


class RandomImages:
    """Stands for a data set: noise, already in memory."""

    def __init__(self, resolution: int, channels: int) -> None:
        self.resolution, self.channels, self.label_dim, self.source = resolution, channels, 0, "noise"
        self.labels = torch.zeros(256, 0)
        self.images = torch.randint(0, 256, (256, channels, resolution, resolution), dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self.images)

    def float_batch(self, indices: Any, then: Any = ()) -> torch.Tensor:
        return self.images[torch.as_tensor(indices)].float() / 127.5 - 1


class CountOperations(TorchDispatchMode):
    """Floating-point operations of matrix products and convolutions, forward and backward.

    PyTorch's ``FlopCounterMode`` also follows modules, which a gradient with respect to an image (R1) does not allow.
    """

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def matmul_peak(device: torch.device, dtype: torch.dtype, size: int = 2048) -> float:
    """Floating-point operations a second of one large matrix product, the best of several."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = 0.0
    for _ in range(6):
        synchronise(device)
        began = time.perf_counter()
        a @ b
        synchronise(device)
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


@dataclass
class Speed:
    """What training costs. ``seconds``, ``busy`` (CPU) and ``operations`` are of a step, ``peak`` a second."""

    batch: int
    precision: str
    seconds: float
    busy: float
    operations: float
    peak: float
    compiled_within: float | None = None


def measure(
    name: str,
    resolution: int,
    channels: int,
    steps: int,
    device: str = "auto",
    precision: str = "auto",
    augment_p: float = 0.0,
    compiled: bool = False,
    batch: int | None = None,
) -> Speed:
    """Trains on noise. ``steps`` is a multiple of 16, so that every lazy step counts."""
    world, row = join(device), preset(name, resolution)
    wishes = in_precision(precision, world.device, row.recipe.half_resolutions)
    recipe = row.recipe.changed(augment_p=augment_p, batch=batch, **wishes)
    data: Any = RandomImages(resolution, channels)
    trainer = StyleGAN2Trainer(data, new_networks(data, row.network, recipe), recipe, world)

    with CountOperations() as counter:
        for _ in range(16):  # also the warm-up
            trainer.train_step()
    within = None
    if compiled:
        trainer.compile()
        began = time.perf_counter()
        for _ in range(2):  # both kinds of graph of each network: with and without its own gradients
            trainer.train_step()
        within = time.perf_counter() - began
    synchronise(world.device)
    began, busy = time.perf_counter(), time.process_time()
    for _ in range(steps):
        trainer.train_step()
    synchronise(world.device)
    seconds = (time.perf_counter() - began) / steps
    busy = (time.process_time() - busy) / steps
    peak = matmul_peak(world.device, getattr(torch, recipe.precision))
    return Speed(recipe.batch, recipe.precision, seconds, busy, counter.total / 16, peak, within)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--augment-p", type=float, default=0.0)
    parser.add_argument("--steps", type=int, default=64, help="a multiple of 16, so that every lazy step counts")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--compile", action="store_true", help="with torch.compile; the operations are counted without")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    found = measure(
        given.preset, given.resolution, given.channels, given.steps, given.device, given.precision, given.augment_p,
        given.compile,
    )  # fmt: skip
    if found.compiled_within is not None:
        print(f"compiled within {found.compiled_within:.0f} s")
    print(
        f"preset {given.preset}, {given.resolution} px, batch {found.batch}, {found.precision}, p {given.augment_p:g}"
    )
    print(f"{given.device}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}")
    print(f"{found.batch / found.seconds:.1f} images/s ({found.seconds * 1000:.0f} ms a step)")
    if not torch.cuda.is_available():
        print(f"{found.batch / found.busy:.1f} images per CPU second: what one undisturbed core would do")
    rate = found.operations / found.seconds
    print(f"{found.operations / 1e9:.1f} GFLOP a step, {rate / 1e12:.2f} TFLOP/s")
    print(f"{100 * rate / found.peak:.0f} % of the matrix peak of {found.peak / 1e12:.2f} TFLOP/s")


if __name__ == "__main__":
    main()
