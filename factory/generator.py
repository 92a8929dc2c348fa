"""Any generator behind one small interface: ``open_generator(uri).generate(z)`` gives images and their feature maps."""

import copy
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.cuda_graph import Replay
from labelfactory.factory.stylegan2_ada.checkpoint import Checkpoint
from labelfactory.factory.stylegan2_ada.networks import set_precision
from labelfactory.interpreters.array_types import Float, UInt8
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.labelset import LabelSet

MAPS_BUDGET = 2**30  # bytes of feature maps that a batch may have: two images of FFHQ's generator at 1024 px


class Generated(NamedTuple):
    """images: 0 to 255, on the CPU or the generator's device; feature_maps: lowest resolution first, never cropped."""

    images: UInt8[Tensor, "batch height width channels"]
    feature_maps: list[Tensor]


class ImageGenerator:
    """A loaded generator in evaluation mode.

    resolution        height and width of its images
    image_channels    1 (grey) or 3 (RGB)
    z_dim, c_dim      width of the latent; number of classes of a conditional generator (0: unconditional)
    feature_channels  channels of each feature map: the output of every 3x3 synthesis convolution, lowest first
    sha256            of the checkpoint file
    crop              the part of its pictures that is used, None: all of it; ``cropped`` gives one with a crop
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, precision: str = "float32") -> None:
        if precision not in ("float32", "bfloat16", "float16"):
            raise InputError(f"precision {precision!r}: expected float32, bfloat16 or float16")
        self.network = checkpoint.generator.to(device).eval().requires_grad_(False)
        set_precision(self.network, getattr(torch, precision))
        self.device, self.sha256, self.metadata = device, checkpoint.sha256, checkpoint.metadata
        self.resolution: int = self.network.img_resolution
        self.image_channels: int = self.network.img_channels
        self.z_dim: int = self.network.z_dim
        self.c_dim: int = self.network.c_dim
        self.feature_channels: list[int] = list(self.network.synthesis.feature_channels)
        self.crop: Crop | None = None
        self._run: Callable[[Tensor], tuple[Tensor, list[Tensor]]] = self._synthesise

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images that ``generate`` gives: those of the crop where there is one."""
        return (self.resolution, self.resolution) if self.crop is None else (self.crop.height, self.crop.width)

    def cropped(self, crop: Crop | None) -> "ImageGenerator":
        """The same generator whose images are a crop of its pictures; feature maps stay whole.

        InputError where the crop reaches beyond the picture.
        """
        if crop is not None:
            crop.check(self.resolution, self.resolution)
        view = copy.copy(self)
        view.crop = crop
        return view

    def replayed(self) -> "ImageGenerator":
        """The same generator, on a CUDA device launched as one graph for each batch size (factory/cuda_graph.py).

        Its feature maps are good until it is called again; its images stay.
        """
        view = copy.copy(self)
        view._run = Replay(self._synthesise)
        return view

    def batch_size(self, most: int) -> int:
        """The largest power of two up to ``most`` whose feature maps stay within ``MAPS_BUDGET`` in float32.

        It depends on the network alone: equal batches give equal bytes, on any machine.
        """
        an_image = sum(4 * c * r * r for c, r in zip(self.feature_channels, self.feature_resolutions, strict=True))
        fitting = min(most, max(1, MAPS_BUDGET // an_image))
        return 1 << (fitting.bit_length() - 1)

    @property
    def feature_resolutions(self) -> list[int]:
        """Height and width of each feature map, in the order of ``feature_channels``."""
        levels = self.network.synthesis.resolutions
        return [levels[0]] + [level for level in levels[1:] for _ in range(2)]

    def check_labels(self, labels: LabelSet) -> None:
        """InputError unless these labels are of this generator, and of its pictures' size or of a crop of them."""
        labels.check_generator(self.sha256)
        size = self.resolution, self.resolution
        if labels.crop is not None:
            labels.crop.check(*size)
        elif len(labels) and labels.samples[0].mask.shape != size:
            found = " x ".join(map(str, labels.samples[0].mask.shape))
            raise InputError(
                f"{labels.where}: mask of {labels.samples[0].name} has {found} pixels; the generator's images have "
                f"{size[0]} x {size[1]}, and the label set names no crop of them"
            )

    @torch.inference_mode()
    def map(
        self, z: Float[Tensor, "batch z_dim"] | np.ndarray, truncation: float = 0.7, class_index: int | None = None
    ) -> Float[Tensor, "batch num_ws w_dim"]:
        """Style vectors w of every layer, truncated towards their mean: w_avg + psi (w - w_avg)."""
        z = torch.as_tensor(z, dtype=torch.float32, device=self.device)
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise InputError(f"z of shape {tuple(z.shape)}: expected [batch, {self.z_dim}]")
        return self.network.mapping(z, self._condition(len(z), class_index), truncation_psi=truncation)

    @torch.inference_mode()
    def generate(
        self,
        latent: Float[Tensor, "batch ..."] | np.ndarray,
        truncation: float = 0.7,
        class_index: int | None = None,
    ) -> Generated:
        """Images and feature maps of latents ``[batch, z_dim]`` (z) or ``[batch, num_ws, w_dim]`` (w, not truncated).

        Noise is the network's constant one: equal latents in equal batches give equal bytes.
        """
        latent = torch.as_tensor(latent, dtype=torch.float32, device=self.device)
        ws = self.map(latent, truncation, class_index) if latent.ndim == 2 else latent
        if ws.ndim != 3 or ws.shape[1:] != (self.network.num_ws, self.network.w_dim):
            expected = f"[batch, {self.z_dim}] (z) or [batch, {self.network.num_ws}, {self.network.w_dim}] (w)"
            raise InputError(f"latent of shape {tuple(latent.shape)}: expected {expected}")
        image, features = self._run(ws)
        if self.crop is not None:
            image = image[:, :, *self.crop.slices]
        pixels = (image * 127.5 + 128).clamp(0, 255).to(torch.uint8)
        return Generated(pixels.permute(0, 2, 3, 1).contiguous(), features)

    def _synthesise(self, ws: Float[Tensor, "batch num_ws w_dim"]) -> tuple[Tensor, list[Tensor]]:
        features: list[Tensor] = []
        return self.network.synthesis(ws, noise_mode="const", features=features), features

    def _condition(self, batch: int, class_index: int | None) -> Tensor | None:
        if self.c_dim == 0:
            if class_index is not None:
                raise InputError(f"class {class_index}: this generator is unconditional; leave the class out")
            return None
        if class_index is None or not 0 <= class_index < self.c_dim:
            raise InputError(f"class {class_index}: this generator is conditional; choose 0 to {self.c_dim - 1}")
        condition = torch.zeros(batch, self.c_dim, device=self.device)
        condition[:, class_index] = 1
        return condition
