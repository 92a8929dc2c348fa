"""What a generator is: ``generate(latent)`` gives images and their feature maps, whatever network makes them.

``factory.families`` has the table of those who fulfil this contract; a family's folder alone knows its networks.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.checkpoints.contents import Contents
from labelfactory.factory.pixels import to_uint8
from labelfactory.interpreters.array_types import Float, UInt8
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.limits import TRUNCATION

MAPS_BUDGET = 2**30  # bytes of feature maps that a batch may have: two images of FFHQ's generator at 1024 px
STATISTICS_SAMPLES = 4096
AnyGenerator = TypeVar("AnyGenerator", bound="ImageGenerator")

Classes = int | Sequence[int] | np.ndarray | Tensor | None
"""Which of a conditional generator's classes: one for all samples of a batch, or one for each."""


class Generated(NamedTuple):
    """images: 0 to 255, on the CPU or the generator's device; feature_maps: lowest resolution first, never cropped."""

    images: UInt8[Tensor, "batch height width channels"]
    feature_maps: list[Tensor]


class ImageGenerator(ABC):
    """A loaded generator in evaluation mode. A family's constructor sets these attributes.

    size              height and width of its pictures, in pixels
    image_channels    1 (grey) or 3 (RGB)
    latent_shape      of one sample's latent, 1 to 3 axes; its numbers are drawn from N(0, 1)
    num_classes       classes of a conditional generator; 0: unconditional
    feature_channels  channels of each feature map, lowest resolution first
    feature_sizes     height and width of each. Every map covers exactly the picture: its border is the picture's
                      border. The largest has the picture's size
    sha256            of the checkpoint, lower-case hexadecimal
    metadata          what the checkpoint says of itself: licence, data, images seen …
    device            where it computes
    crop              part of the pictures that is used, None: all of it; ``cropped`` gives a generator with a crop
    conditions        classes that samples are drawn of, where nobody names one; ``conditioned`` gives one with others
    default_truncation
                      psi where nothing is said; None: the family knows no truncation, and refuses any but 1
    """

    size: tuple[int, int]
    image_channels: int
    latent_shape: tuple[int, ...]
    num_classes: int = 0
    feature_channels: list[int]
    feature_sizes: list[tuple[int, int]]
    sha256: str
    metadata: dict[str, Any]
    device: torch.device
    crop: Crop | None = None
    _conditions: tuple[int, ...] = ()
    default_truncation: ClassVar[float | None] = TRUNCATION

    @classmethod
    @abstractmethod
    def claims(cls, contents: Contents) -> bool:
        """Whether a checkpoint holds a generator of this family, by names alone."""

    @classmethod
    @abstractmethod
    def open(cls, contents: Contents, device: torch.device, precision: str) -> "ImageGenerator":
        """The generator of a checkpoint. InputError, in one line that begins with its name, where it is damaged."""

    @abstractmethod
    def render(
        self,
        latent: Float[Tensor, "batch ..."],
        truncation: float,
        classes: Tensor | None,
    ) -> tuple[Float[Tensor, "batch channels height width"], list[Tensor]]:
        """Whole pictures in about [-1, 1] and their feature maps; equal latents in equal batches give equal bytes.

        ``latent`` is float32 on the device and of one of ``latent_shapes``; ``classes`` (int64, one a sample) is there
        where the generator is conditional.
        """

    @property
    def latent_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of a sample's latent that ``generate`` takes, by name; different numbers of axes tell them apart."""
        return {"z": self.latent_shape}

    @property
    def resolution(self) -> int:
        """Height and width of square pictures; InputError for others."""
        height, width = self.size
        if height != width:
            raise InputError(f"this generator's pictures have {height} x {width} pixels; expected square ones here")
        return height

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images that ``generate`` gives: those of the crop where there is one."""
        return self.size if self.crop is None else (self.crop.height, self.crop.width)

    def cropped(self: AnyGenerator, crop: Crop | None) -> AnyGenerator:
        """The same generator whose images are a crop of its pictures; feature maps stay whole.

        InputError where the crop reaches beyond the picture.
        """
        if crop is not None:
            crop.check(*self.size)
        view = copy.copy(self)
        view.crop = crop
        return view

    @property
    def conditions(self) -> tuple[int, ...]:
        """All classes of a conditional generator, or those of ``conditioned``; of an unconditional one none."""
        return self._conditions or tuple(range(self.num_classes))

    def conditioned(self: AnyGenerator, classes: Sequence[int]) -> AnyGenerator:
        """The same generator whose samples are of these classes; none: of all. InputError for one that is not there."""
        if classes:
            self._classes(tuple(classes), len(classes), True)
        view = copy.copy(self)
        view._conditions = tuple(sorted(set(classes)))
        return view

    def replayed(self: AnyGenerator) -> AnyGenerator:
        """The same generator, faster where the family can: on a CUDA device launched as one graph for each batch size.

        Its feature maps are good until it is called again; its images stay.
        """
        return self

    def batch_size(self, most: int) -> int:
        """The largest power of two up to ``most`` whose feature maps stay within ``MAPS_BUDGET`` in float32.

        It depends on the network alone: equal batches give equal bytes, on any machine.
        """
        an_image = sum(4 * c * h * w for c, (h, w) in zip(self.feature_channels, self.feature_sizes, strict=True))
        fitting = min(most, max(1, MAPS_BUDGET // an_image))
        return 1 << (fitting.bit_length() - 1)

    def check_labels(self, labels: LabelSet) -> None:
        """InputError unless these labels are of this generator, and of its pictures' size or of a crop of them."""
        labels.check_generator(self.sha256)
        if labels.crop is not None:
            labels.crop.check(*self.size)
        elif len(labels) and labels.samples[0].mask.shape != self.size:
            found = " x ".join(map(str, labels.samples[0].mask.shape))
            raise InputError(
                f"{labels.where}: mask of {labels.samples[0].name} has {found} pixels; the generator's images have "
                f"{self.size[0]} x {self.size[1]}, and the label set names no crop of them"
            )

    @torch.inference_mode()
    def generate(
        self,
        latent: Float[Tensor, "batch ..."] | np.ndarray,
        truncation: float | None = None,
        class_index: Classes = None,
    ) -> Generated:
        """Images and feature maps of latents ``[batch, *latent_shape]``, or of another of ``latent_shapes``.

        Arguments:
            truncation: psi, 0 to 2; None: ``default_truncation``.
            class_index: of a conditional generator, one class or one for each sample.

        Raises:
            InputError: latents of another shape, a class that is not there, or truncation where there is none.
        """
        latent = torch.as_tensor(latent, dtype=torch.float32, device=self.device)
        if tuple(latent.shape[1:]) not in self.latent_shapes.values() or not len(latent):
            raise InputError(f"latent of shape {tuple(latent.shape)}: expected {self._expected()}")
        classes = self._classes(class_index, len(latent), latent.ndim - 1 == len(self.latent_shape))
        pictures, maps = self.render(latent, self._psi(truncation), classes)
        if self.crop is not None:
            pictures = pictures[:, :, *self.crop.slices]
        return Generated(to_uint8(pictures).permute(0, 2, 3, 1).contiguous(), maps)

    def _expected(self) -> str:
        return " or ".join(f"[batch, {', '.join(map(str, s))}] ({name})" for name, s in self.latent_shapes.items())

    def _psi(self, truncation: float | None) -> float:
        if self.default_truncation is None:
            if truncation not in (None, 1):
                raise InputError(f"truncation {truncation}: this kind of generator has none; leave it out, or give 1")
            return 1.0
        return self.default_truncation if truncation is None else truncation

    def _classes(self, given: Classes, batch: int, needed: bool) -> Tensor | None:
        """One class a sample, on the device; latents that lie behind the class (``needed`` False) do without."""
        if self.num_classes == 0:
            if given is not None:
                raise InputError(f"class {given}: this generator is unconditional; leave the class out")
            return None
        if given is None:
            if not needed:
                return None
            raise InputError(f"class None: this generator is conditional; choose 0 to {self.num_classes - 1}")
        classes = torch.as_tensor(given, dtype=torch.int64, device="cpu")
        if classes.ndim > 1 or (classes.ndim and len(classes) != batch):
            raise InputError(f"classes of shape {tuple(classes.shape)}: expected one, or one for each of {batch}")
        wrong = classes.flatten()[(classes.flatten() < 0) | (classes.flatten() >= self.num_classes)]
        if len(wrong):
            raise InputError(f"class {int(wrong[0])}: this generator has classes 0 to {self.num_classes - 1}")
        return classes.expand(batch).to(self.device)


class Invertible(ImageGenerator):
    """A generator whose pictures follow from style vectors w, one a layer, that a gradient can reach.

    Real images are explained by such vectors (``labels.inversion``); ``generate`` takes them as they are.

    style_shape  layers and width of the style vectors
    """

    style_shape: tuple[int, int]

    @property
    def latent_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"z": self.latent_shape, "w": self.style_shape}

    @abstractmethod
    def styles(
        self, z: Float[Tensor, "batch z_dim"], truncation: float, classes: Tensor | None
    ) -> Float[Tensor, "batch layers w_dim"]:
        """Style vectors of every layer, truncated towards their mean."""

    @abstractmethod
    def synthesise(self, ws: Float[Tensor, "batch layers w_dim"]) -> Float[Tensor, "batch channels height width"]:
        """Whole pictures in about [-1, 1], float32, with gradients to ``ws``."""

    @abstractmethod
    def perceive(self, images: Float[Tensor, "batch channels height width"]) -> list[Tensor]:
        """Features of whole pictures in [-1, 1] by which two can be compared, with gradients.

        Those of the discriminator that the generator was trained against; none where its file has none.
        """

    @abstractmethod
    def computing_in(self, precision: str) -> AbstractContextManager[None]:
        """``synthesise`` and ``perceive`` compute in another precision meanwhile ("auto": the device's fastest)."""

    @property
    def perceptive(self) -> bool:
        """Whether ``perceive`` has features to give."""
        return False

    def random_classes(self, count: int) -> Tensor | None:
        """The generator's conditions in turn; None where it has none."""
        known = self.conditions
        return torch.tensor([known[i % len(known)] for i in range(count)], device=self.device) if known else None

    @torch.inference_mode()
    def map(
        self, z: Float[Tensor, "batch z_dim"] | np.ndarray, truncation: float | None = None, class_index: Classes = None
    ) -> Float[Tensor, "batch layers w_dim"]:
        """Style vectors w of every layer, truncated towards their mean: w_avg + psi (w - w_avg)."""
        z = torch.as_tensor(z, dtype=torch.float32, device=self.device)
        if tuple(z.shape[1:]) != self.latent_shape:
            raise InputError(f"z of shape {tuple(z.shape)}: expected [batch, {self.latent_shape[0]}]")
        return self.styles(z, self._psi(truncation), self._classes(class_index, len(z), True))

    def mean_latent(self, seed: int = 0) -> tuple[Float[Tensor, "w_dim"], Float[Tensor, "w_dim"]]:
        """Mean and standard deviation of w over random z (and the generator's conditions), without truncation."""
        rng = np.random.default_rng(seed)
        z = rng.standard_normal((STATISTICS_SAMPLES, math.prod(self.latent_shape)), dtype=np.float32)
        w = self.map(z, 1.0, self.random_classes(STATISTICS_SAMPLES))[:, 0]
        return w.mean(0).clone(), w.std(0).clamp_min(1e-6).clone()


class Seeing(ImageGenerator):
    """A generator that has feature maps of real pictures too, without any latent that explains them."""

    @abstractmethod
    def see(self, images: Float[Tensor, "batch channels height width"], classes: Tensor | None = None) -> list[Tensor]:
        """Feature maps, as ``generate`` gives them, of whole pictures in [-1, 1] on the device."""

    @torch.inference_mode()
    def see_images(
        self, images: UInt8[Tensor, "batch height width channels"], class_index: Classes = None
    ) -> list[Tensor]:
        """Feature maps of real pictures of the generator's size; no part of one, because maps are of whole pictures.

        InputError for pictures of another size, or without a class where the generator is conditional.
        """
        if self.crop is not None or tuple(images.shape[1:]) != (*self.size, self.image_channels):
            expected = f"[batch, {self.size[0]}, {self.size[1]}, {self.image_channels}], and no crop"
            raise InputError(f"pictures of shape {tuple(images.shape)}: expected {expected}")
        pixels = images.to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        return self.see(pixels, self._classes(class_index, len(images), True))


def seeing(generator: ImageGenerator, where: str) -> Seeing:
    """The generator; InputError where its family has no features of photographs."""
    if not isinstance(generator, Seeing):
        raise InputError(f"{where}: this kind of generator cannot look at photographs; invert them (factory invert)")
    return generator


def invertible(generator: ImageGenerator) -> Invertible:
    """The generator; InputError where its family cannot explain real images by latents."""
    if not isinstance(generator, Invertible):
        raise InputError(
            "this kind of generator cannot invert real images (it has no style vectors); label images that it makes"
        )
    return generator
