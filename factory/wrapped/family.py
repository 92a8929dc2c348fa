"""Any module z -> picture behind the generator's contract: DCGAN and its kin.

The file has the weights and the name of the function that makes the module. Opening it runs that function, which is
somebody's code: only packages that ``$LABELFACTORY_MODULES`` names are imported, so that a deployed run, whose operator
names none, refuses such a file.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from labelfactory.errors import InputError
from labelfactory.factory.checkpoints.contents import HEADER, Contents
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.wrapped.order import WrapOrder
from labelfactory.interpreters.array_types import Float
from labelfactory.whole_files import whole_file

TRUSTED = "LABELFACTORY_MODULES"
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish)


class Wrapped(ImageGenerator):
    """Feature maps are the outputs of the module's activations, of those that are maps and not larger than pictures."""

    default_truncation = None

    def __init__(
        self, network: nn.Module, latent_shape: tuple[int, ...], contents: Contents, device: torch.device
    ) -> None:
        self._network = network.to(device).eval().requires_grad_(False)
        self.device, self.latent_shape = device, latent_shape
        self.sha256, self.metadata = contents.sha256, {"format": "wrapped", "module": contents.header["module"]}
        self._read: list[nn.Module] = [m for m in network.modules() if isinstance(m, ACTIVATIONS)]
        with torch.inference_mode():
            picture, maps = self._run(torch.zeros(1, *latent_shape, device=device), contents.name)
        self.size, self.image_channels = (picture.shape[2], picture.shape[3]), picture.shape[1]
        self.feature_channels = [m.shape[1] for m in maps]
        self.feature_sizes = [(m.shape[2], m.shape[3]) for m in maps]

    @classmethod
    def claims(cls, contents: Contents) -> bool:
        return contents.family == "wrapped"

    @classmethod
    def open(cls, contents: Contents, device: torch.device, precision: str) -> "Wrapped":
        name, shape = contents.header.get("module"), contents.header.get("latent_shape")
        try:
            contents.says_all()
            if not isinstance(name, str) or name.count(":") != 1 or not isinstance(shape, list) or not shape:
                raise InputError("does not say which function makes its module, or the shape of a latent")
            if not all(type(n) is int and 1 <= n <= 2**16 for n in shape) or len(shape) > 3:
                raise InputError(f"its latent_shape {shape} is not 1 to 3 whole numbers")
            if precision != "float32":
                raise InputError(f"precision {precision!r}: a wrapped module computes in float32")
            network = made_by(name)
            generator = contents.networks.get("generator")
            try:
                network.load_state_dict({} if generator is None else generator.tensors)
            except RuntimeError as error:
                raise InputError(f"{name} made a module that its weights do not fit ({_brief(error)})") from None
            return cls(network, tuple(shape), contents, device)
        except InputError as error:
            raise InputError(f"{contents.name}: {error}") from None

    def render(
        self, latent: Float[Tensor, "batch ..."], truncation: float, classes: Tensor | None
    ) -> tuple[Float[Tensor, "batch channels height width"], list[Tensor]]:
        return self._run(latent, "wrapped module")

    def _run(self, z: Tensor, where: str) -> tuple[Tensor, list[Tensor]]:
        with _outputs(self._read) as seen:
            picture = called(self._network, z)
        height, width = picture.shape[2:]
        maps = [m for m in seen if m.ndim == 4 and m.shape[2] <= height and m.shape[3] <= width and len(m) == len(z)]
        maps.sort(key=lambda m: m.shape[2])
        if not maps:
            raise InputError(
                "has no feature maps: none of its activations is a module (nn.ReLU …) whose output is a map"
            )
        if tuple(maps[-1].shape[2:]) != (height, width):
            maps[-1] = interpolate(maps[-1].float(), (height, width), mode="bilinear")
        return picture.float(), maps


def made_by(name: str) -> nn.Module:
    """What a function of a trusted package gives. InputError, in one line, for any other package and for a failure."""
    module, _, function = name.partition(":")
    trusted = [part for part in os.environ.get(TRUSTED, "").replace(",", " ").split() if part]
    if module.split(".")[0] not in trusted:
        raise InputError(
            f"runs {name}, which is somebody's code; where you trust it, name its package in ${TRUSTED} "
            f"({TRUSTED}={module.split('.')[0]})"
        )
    try:
        made = getattr(import_module(module), function)()
    except Exception as error:  # whatever somebody's code raises
        raise InputError(f"{name} failed ({_brief(error)}); is its folder in PYTHONPATH?") from None
    if not isinstance(made, nn.Module):
        raise InputError(f"{name} gave a {type(made).__name__}; expected a torch module")
    return made


def called(network: nn.Module, z: Tensor) -> Tensor:
    """The module's pictures; InputError where it fails or gives something else."""
    try:
        picture = network(z)
    except Exception as error:  # whatever somebody's code raises
        raise InputError(f"fails on a latent of shape {list(z.shape)} ({_brief(error)})") from None
    if not isinstance(picture, Tensor) or picture.ndim != 4 or picture.shape[1] not in (1, 3) or len(picture) != len(z):
        found = list(picture.shape) if isinstance(picture, Tensor) else type(picture).__name__
        raise InputError(f"gives {found} for {len(z)} latents; expected pictures [batch, 1 or 3, height, width]")
    return picture


def wrap(order: WrapOrder) -> ImageGenerator:
    """Writes the file of a generator and gives the generator; the function's package counts as trusted from now on.

    Whoever calls this names the function themselves, which is trust enough for their own process.
    """
    package = order.module.partition(":")[0].split(".")[0]
    os.environ[TRUSTED] = f"{os.environ.get(TRUSTED, '')} {package}".strip()
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does: their own code lies where they stand
    network = made_by(order.module).eval()
    shape = _latent_shape(network, order)
    header = {"format": 1, "family": "wrapped", "module": order.module, "latent_shape": shape, "metadata": {}}
    tensors = {f"generator.{name}": value.cpu().contiguous() for name, value in network.state_dict().items()}
    contents = Contents(str(order.out), "0" * 64, "labelfactory", {}, header)
    Wrapped(
        network.cpu(), tuple(shape), contents, torch.device("cpu")
    )  # refuses what could not be used, before writing
    with whole_file(order.out) as file:
        file.write(safetensors.torch.save(tensors, metadata={HEADER: json.dumps(header, sort_keys=True)}))
    from labelfactory.factory.families import open_generator

    return open_generator(Path(order.out), "cpu")


@torch.inference_mode()
def _latent_shape(network: nn.Module, order: WrapOrder) -> list[int]:
    """[z_dim], or [z_dim, 1, 1] of modules that begin with a convolution, as DCGAN does."""
    failures: list[str] = []
    for shape in ([order.z_dim], [order.z_dim, 1, 1]):
        try:
            called(network, torch.zeros(2, *shape))
            return shape
        except InputError as error:
            failures.append(str(error))
    raise InputError(f"{order.module}: {failures[0]}")


@contextmanager
def _outputs(modules: list[nn.Module]) -> Iterator[list[Tensor]]:
    """What the modules give while it is open, in the order in which they run."""
    seen: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            seen.append(output.clone())  # what comes next may work in place

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
