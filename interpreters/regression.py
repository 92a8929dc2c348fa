"""Numbers instead of classes for every pixel: an ensemble of small MLPs on the generator's feature maps.

What heatmaps of keypoints and of objects' centres have in common with continuous labels such as depth (HandsOff, arXiv
2212.12645, section 4.4).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.interpreters import factored
from labelfactory.interpreters.array_types import Float
from labelfactory.interpreters.crop import Crop, whole
from labelfactory.interpreters.ensemble import Ensemble, expect
from labelfactory.interpreters.lookup import hypercolumns
from labelfactory.interpreters.pixels import groups_of
from labelfactory.progress import Progress
from labelfactory.tensor_file import TensorFile

FILE = TensorFile("labelfactory-regressor", "regressor", "train it again", 2**30)
BUDGET = 256 * 2**20  # bytes of working memory beside inputs, outputs and weights


@dataclass(frozen=True)
class RegressionRecipe:
    """How to train.

    pixels_per_image   sampled at random; for heatmaps half of them where one is above a twentieth of its range
    batch_size         pixels per member and step
    learning_rate      of Adam, falling to zero along a half cosine
    steps              for all members at once
    """

    pixels_per_image: int = 1024
    batch_size: int = 256
    learning_rate: float = 2e-3
    steps: int = 400


class FeatureRegressor(Ensemble):
    """``outputs`` numbers per pixel, from every member.

    kind: what the outputs are ("keypoints", "values", "centres", ...); names: one for each output; sigma: of
    heatmaps, in pixels. All are kept in the file, with what an ``Ensemble`` has.
    """

    file: ClassVar[TensorFile] = FILE
    version: ClassVar[int] = 1

    output_mean: Tensor
    output_std: Tensor

    def __init__(
        self,
        feature_channels: Sequence[int],
        names: Sequence[str],
        kind: str = "values",
        members: int = 10,
        hidden: Sequence[int] = (128, 32),
        sigma: float = 2.0,
    ):
        if not re.fullmatch("[a-z][a-z0-9_]*", kind) or not 1 <= len(names) <= 64 or not 0.1 <= sigma <= 100:
            raise InputError(
                f"{kind!r} of {len(names)} names, sigma {sigma}: expected the name of a label kind, 1 to 64 names and "
                "a sigma of 0.1 to 100 pixels"
            )
        super().__init__(feature_channels, len(names), members, hidden)
        self.names, self.kind, self.sigma = tuple(names), kind, float(sigma)
        self.register_buffer("output_mean", torch.zeros(len(names)))
        self.register_buffer("output_std", torch.ones(len(names)))

    def fit(
        self,
        samples: Iterable[tuple[Sequence[Tensor], Float[Tensor, "outputs height width"]]],
        seed: int = 0,
        progress: bool = True,
        recipe: RegressionRecipe | None = None,
        groups: Sequence[int] | None = None,
        heatmaps: bool = False,
        pictures: Sequence[int] | None = None,
    ) -> dict[str, Any]:
        """Train by least squares on a few images and return the report.

        samples: feature maps of one image ([1, C, H, W] each) and its targets, of the largest map's size, NaN where
        unknown. Each member learns from its own draw of the images (bootstrap), so that members disagree where images
        are missing.
        groups: number of each image's group, such as the views of one picture (None: each its own); members draw whole
        groups. ``pictures`` is the older name of it.
        heatmaps: half of the pixels to learn from are drawn where a target is above a twentieth of its range.
        Raises InputError where nothing is known or the maps do not fit.
        """
        recipe = recipe or RegressionRecipe()
        generator = torch.Generator().manual_seed(seed)
        features, targets, image = self._collect(samples, recipe, generator, heatmaps)
        image = groups_of(image, pictures if groups is None else groups)
        known = targets.isfinite()
        if not bool(known.any(0).all()):
            missing = [n for n, k in zip(self.names, known.any(0).tolist(), strict=True) if not k]
            raise InputError(f"no labelled sample knows {', '.join(missing)}; label it at least once")
        self.feature_mean, self.feature_std = features.mean(0), features.std(0).clamp_min(1e-6)
        count = known.sum(0)
        self.output_mean = targets.nan_to_num(0).sum(0) / count
        self.output_std = (((targets - self.output_mean).nan_to_num(0) ** 2).sum(0) / count).sqrt().clamp_min(1e-6)
        x = (features - self.feature_mean) / self.feature_std
        y = ((targets - self.output_mean) / self.output_std).nan_to_num(0)
        rows = self._bootstrap(image, generator)
        self.reset(generator)
        loss = self._train(x, y, known, rows, generator, progress, recipe)
        images = int(image.unique().numel())
        held = self._held_out(x, y, known, image, rows)
        self.report = {"seed": seed, "images": images, "pixels": len(x), "unexplained": loss.tolist()} | held
        return self.report

    @torch.no_grad()
    def _held_out(self, x: Tensor, y: Tensor, known: Tensor, image: Tensor, rows: list[Tensor]) -> dict[str, Any]:
        """Mean absolute error on images by those members that have not learned from them, beside the mean's error.

        Nothing where all members know all images.
        """
        errors, baseline, count = torch.zeros(3, len(self.names)).unbind()
        learned = [set(image[r].unique().tolist()) for r in rows]
        for n in image.unique().tolist():
            blind = [m for m, seen in enumerate(learned) if n not in seen]
            if not blind:
                continue
            own = image == n
            mean = self(x[own].expand(self.members, -1, -1))[blind].mean(0)
            errors += ((mean - y[own]).abs() * known[own]).sum(0)
            baseline += (y[own].abs() * known[own]).sum(0)
            count += known[own].sum(0)
        if not bool((count > 0).all()):
            return {}
        scale = self.output_std / count
        return {"held_out_error": (errors * scale).tolist(), "error_of_the_mean": (baseline * scale).tolist()}

    def _collect(
        self,
        samples: Iterable[tuple[Sequence[Tensor], Tensor]],
        recipe: RegressionRecipe,
        generator: torch.Generator,
        heatmaps: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        features, targets, image = [], [], []
        for number, (maps, target) in enumerate(samples):
            size = self.check(maps)
            if target.shape != (len(self.names), *size):
                shape, expected = tuple(target.shape), (len(self.names), *size)
                raise InputError(f"labelled sample {number}: targets of shape {shape}; expected {expected}")
            flat = target.flatten(1)
            known = flat.isfinite().any(0)
            # a heatmap is nearly everywhere zero: half of the pixels are drawn where it is not
            low = flat.nan_to_num(torch.inf).amin(1, keepdim=True)
            high = flat.nan_to_num(-torch.inf).amax(1, keepdim=True)
            hot = ((flat - low) > 0.05 * (high - low)).any(0)
            parts = (known & hot, known & ~hot) if heatmaps else (known,)
            drawn = [self._draw(part, recipe.pixels_per_image // len(parts), generator) for part in parts]
            pixels = torch.cat(drawn)
            if len(pixels):
                on = pixels.to(maps[0].device)
                features.append(hypercolumns([f[0] for f in maps], on // size[1], on % size[1], size).float().cpu())
                targets.append(flat[:, pixels].T.float())
                image.append(torch.full((len(pixels),), number))
        if not features:
            raise InputError("no labelled sample; label some images first")
        return torch.cat(features), torch.cat(targets), torch.cat(image)

    @staticmethod
    def _draw(part: Tensor, count: int, generator: torch.Generator) -> Tensor:
        pixels = torch.nonzero(part)[:, 0]
        return pixels[torch.randperm(len(pixels), generator=generator)[:count]]

    def _bootstrap(self, image: Tensor, generator: torch.Generator) -> list[Tensor]:
        """For each member the rows of as many images as there are, drawn with replacement."""
        names = image.unique()
        rows = [torch.nonzero(image == n)[:, 0] for n in names]
        if len(names) < 4:
            return [torch.cat(rows)] * self.members
        draws = [torch.randint(len(names), (len(names),), generator=generator).tolist() for _ in range(self.members)]
        return [torch.cat([rows[i] for i in draw]) for draw in draws]

    def _train(
        self,
        x: Tensor,
        y: Tensor,
        known: Tensor,
        rows: list[Tensor],
        generator: torch.Generator,
        progress: bool,
        recipe: RegressionRecipe,
    ) -> Tensor:
        self.requires_grad_(True).train()
        optimizer = torch.optim.Adam(self.parameters(), lr=recipe.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.steps)
        smooth = torch.ones(self.members)
        for _ in Progress(range(recipe.steps), desc="training", unit="step", disable=not progress, leave=False):
            draws = [torch.randint(len(r), (recipe.batch_size,), generator=generator) for r in rows]
            index = torch.stack([r[d] for r, d in zip(rows, draws, strict=True)])
            weight = known[index].float()
            error = ((self(x[index]) - y[index]) ** 2 * weight).sum((1, 2)) / weight.sum((1, 2)).clamp_min(1)
            optimizer.zero_grad(set_to_none=True)
            error.sum().backward()
            optimizer.step()
            schedule.step()
            smooth.lerp_(error.detach(), 0.05)
        self.requires_grad_(False).eval()
        return smooth

    @torch.no_grad()
    def member_maps(
        self, feature_maps: Sequence[Tensor], crop: Crop | None = None
    ) -> Float[Tensor, "members outputs height width"]:
        """Every member's outputs for one image ([1, C, H, W] each), or for a crop of it."""
        crop = crop or whole(self.check(feature_maps))
        shape = (self.members, len(self.names), crop.height, crop.width)
        out = torch.empty(shape, device=feature_maps[0].device)

        def put(image: int, rows: slice, columns: slice, outputs: Tensor) -> None:
            out[:, :, rows, columns] = self._in_units(outputs)

        factored.outputs(self, feature_maps, torch.float32, BUDGET, crop, put)
        return out

    @torch.no_grad()
    def mean_and_spread(
        self, feature_maps: Sequence[Float[Tensor, "batch _ _ _"]], crop: Crop | None = None
    ) -> tuple[Float[Tensor, "batch outputs height width"], Float[Tensor, "batch outputs height width"]]:
        """The members' mean for each image of a batch and their standard deviation around it (of N, not N - 1)."""
        crop = crop or whole(self.output_size(feature_maps))
        shape = (len(feature_maps[0]), len(self.names), crop.height, crop.width)
        mean, spread = (torch.empty(shape, device=feature_maps[0].device) for _ in range(2))

        def put(image: int, rows: slice, columns: slice, outputs: Tensor) -> None:
            var, mean[image, :, rows, columns] = torch.var_mean(self._in_units(outputs), 0, correction=0)
            spread[image, :, rows, columns] = var.sqrt()

        factored.outputs(self, feature_maps, torch.float32, BUDGET, crop, put)
        return mean, spread

    def _in_units(self, outputs: Float[Tensor, "members outputs rows columns"]) -> Tensor:
        return outputs * self.output_std[:, None, None] + self.output_mean[:, None, None]

    def check(self, feature_maps: Sequence[Tensor]) -> tuple[int, int]:
        """(height, width) of the largest map. InputError unless these are one image's maps of the right channels."""
        if any(len(f) != 1 for f in feature_maps):
            raise InputError(f"feature maps of {len(feature_maps[0])} images; expected one image's")
        return self.output_size(feature_maps)

    def about(self) -> dict[str, Any]:
        return {"names": self.names, "kind": self.kind, "sigma": self.sigma}

    @classmethod
    def built(cls, header: dict[str, Any]) -> "FeatureRegressor":
        names, sigma = header["names"], header["sigma"]
        expect(isinstance(names, list) and all(isinstance(name, str) for name in names))
        expect(isinstance(header["kind"], str) and type(sigma) in (int, float))
        return cls(header["feature_channels"], names, header["kind"], header["members"], header["hidden"], sigma)
