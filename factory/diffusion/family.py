"""Diffusion models behind the generator's contract, and as eyes for real pictures.

Pictures by deterministic DDIM (Song et al., arXiv 2010.02502, eta 0) from noise, which is the latent. Feature maps as
in DatasetDDPM (Baranchuk et al., arXiv 2112.03126): the picture is noised to a few levels, always with the same noise,
and the decoder blocks of the network are read while it looks at that. A real picture is seen in the same way.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from labelfactory.errors import InputError
from labelfactory.factory.checkpoints.contents import Contents
from labelfactory.factory.diffusion.folder import Parts, load_parts, read_metadata
from labelfactory.factory.diffusion.sampling import ddim, sample
from labelfactory.factory.generator import Seeing
from labelfactory.interpreters.array_types import Float

STEPS = 50  # of DDIM
# What is left of a picture's variance at steps 50, 150 and 250 of DDPM's linear schedule, which are the paper's; models
# of another schedule are read where they have as much noise.
CLEAR = tuple(float(torch.linspace(1e-4, 0.02, 1000).neg().add(1).cumprod(0)[step]) for step in (50, 150, 250))
PAPERS_BLOCKS = (5, 6, 7, 8, 12)  # of a decoder of 18 units
LARGE = 18  # units from which on the paper's blocks are taken; of smaller networks the last unit of each resolution


class Diffusion(Seeing):
    """``UNet2DModel`` on pixels, or on the latents of an ``AutoencoderKL``; unconditional or of classes."""

    default_truncation = None

    def __init__(self, parts: Parts, contents: Contents, device: torch.device, precision: str = "float32") -> None:
        if precision not in ("float32", "bfloat16", "float16"):
            raise InputError(f"precision {precision!r}: expected float32, bfloat16 or float16")
        self.device, self._dtype = device, getattr(torch, precision)
        self._unet, self._scheduler = parts.unet.to(device, self._dtype), parts.scheduler
        self._vae = None if parts.vae is None else parts.vae.to(device, self._dtype)
        try:
            self._settle(parts, contents)
        except InputError:
            raise
        except Exception as error:  # settings that make a network, but none that runs
            detail = " ".join(str(error).split())[:160]
            raise InputError(
                f"{contents.name}: cannot be run with its settings ({type(error).__name__}: {detail})"
            ) from None

    def _settle(self, parts: Parts, contents: Contents) -> None:
        """What the configuration says, tried with one picture."""
        config = parts.unet.config
        side = config.sample_size
        rows, columns = side if isinstance(side, (tuple, list)) else (side, side)
        self.latent_shape = (int(config.in_channels), int(rows), int(columns))
        factor = 1 if parts.vae is None else 2 ** (len(parts.vae.config.block_out_channels) - 1)
        self.size = (int(rows) * factor, int(columns) * factor)
        self.image_channels = int(config.in_channels if parts.vae is None else parts.vae.config.out_channels)
        if self.image_channels not in (1, 3) or config.in_channels != config.out_channels:
            raise InputError(
                f"{contents.name}: {config.in_channels} channels in, {config.out_channels} out, pictures of "
                f"{self.image_channels}; expected as many out as in, and pictures of 1 (grey) or 3 (RGB)"
            )
        self.num_classes = int(config.num_class_embeds or 0)
        self.sha256 = contents.sha256
        self.metadata = read_metadata(Path(contents.name)) | {"format": "diffusers", "steps": STEPS}
        left = self._scheduler.alphas_cumprod
        self._levels = [int((left - clear).abs().argmin()) for clear in CLEAR]
        self._read = _chosen(parts.unet)
        noise = np.random.Generator(np.random.Philox(key=np.array([0, 3], np.uint64)))
        self._noise = torch.from_numpy(noise.standard_normal(self.latent_shape, dtype=np.float32)).to(self.device)
        with torch.inference_mode():
            classes = torch.zeros(1, dtype=torch.int64, device=self.device) if self.num_classes else None
            blank = torch.zeros(1, *self.latent_shape, device=self.device)
            ddim(self._scheduler).set_timesteps(STEPS)
            sample(lambda x, t: self._predict(x, t, classes), self._scheduler, blank, 1)
            maps = self._look(blank, classes)
        self.feature_channels = [m.shape[1] for m in maps]
        self.feature_sizes = [(m.shape[2], m.shape[3]) for m in maps]

    @classmethod
    def claims(cls, contents: Contents) -> bool:
        return contents.form == "folder"

    @classmethod
    def open(cls, contents: Contents, device: torch.device, precision: str) -> "Diffusion":
        try:
            contents.says_all()
        except InputError as error:
            raise InputError(f"{contents.name}: {error}") from None
        return cls(load_parts(Path(contents.name)), contents, device, precision)

    def render(
        self, latent: Float[Tensor, "batch ..."], truncation: float, classes: Tensor | None
    ) -> tuple[Float[Tensor, "batch channels height width"], list[Tensor]]:
        x = sample(lambda x, t: self._predict(x, t, classes), self._scheduler, latent, STEPS)
        picture = x
        if self._vae is not None:
            picture = self._vae.decode((x / self._vae.config.scaling_factor).to(self._dtype)).sample.float()
        return picture, self._look(x, classes)

    def see(self, images: Float[Tensor, "batch channels height width"], classes: Tensor | None = None) -> list[Tensor]:
        if self._vae is not None:
            images = self._vae.encode(images.to(self._dtype)).latent_dist.mean.float() * self._vae.config.scaling_factor
        return self._look(images, classes)

    def _predict(self, x: Tensor, t: Tensor, classes: Tensor | None) -> Tensor:
        return self._unet(x.to(self._dtype), t, class_labels=classes).sample.float()

    def _look(self, x: Float[Tensor, "batch channels rows columns"], classes: Tensor | None) -> list[Tensor]:
        """The decoder's chosen outputs at every level of noise, lowest resolution first, the last as the picture."""
        found: list[Tensor] = []
        for level in self._levels:
            t = torch.tensor(level, device=self.device)
            noisy = self._scheduler.add_noise(x, self._noise.expand_as(x), t.expand(len(x)))
            with _outputs(self._read) as seen:
                self._predict(noisy, t, classes)
            found += seen
        found.sort(key=lambda m: m.shape[2])
        if tuple(found[-1].shape[2:]) != self.size:
            found[-1] = interpolate(found[-1].float(), self.size, mode="bilinear")
        return found


def _chosen(unet: nn.Module) -> list[nn.Module]:
    """The decoder's units (a residual block, with its attention where it has one) that feature maps are read from."""
    units: list[nn.Module] = []
    last: list[nn.Module] = []
    blocks: Any = unet.up_blocks
    for block in blocks:
        attentions = getattr(block, "attentions", None)
        own = [block.resnets[i] if attentions is None else attentions[i] for i in range(len(block.resnets))]
        units += own
        last.append(own[-1])
    return [units[i] for i in PAPERS_BLOCKS] if len(units) >= LARGE else last


@contextmanager
def _outputs(modules: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """What the modules give while it is open, in the order in which they run."""
    seen: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        seen.append(output[0] if isinstance(output, tuple) else output)

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
