"""What every generator family has to keep: a suite of tests that each family's own tests run over a tiny generator.

A family gives a fixture ``opened`` (the generator, from a file) and the two ways into its inside that alignment needs.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from labelfactory.errors import InputError
from labelfactory.factory.families import FAMILIES, family, open_generator
from labelfactory.factory.generator import ImageGenerator, Invertible, Seeing
from labelfactory.factory.latents import latents
from labelfactory.interpreters.crop import Crop


class GeneratorContract:
    """Subclass as ``TestX`` with the fixtures ``path`` and ``opened``, and ``layers`` where maps make the picture."""

    family: str

    def layers(self, generator: ImageGenerator) -> Sequence[nn.Module]:
        """The modules whose outputs (before any cutting) become the feature maps, in their order."""
        raise NotImplementedError

    def given(self, generator: ImageGenerator, seeds: Sequence[int]) -> dict[str, object]:
        """Arguments of ``generate`` for samples of these seeds."""
        z = latents(seeds, generator.latent_shape)
        classes = {"class_index": [s % generator.num_classes for s in seeds]} if generator.num_classes else {}
        return {"latent": z, **classes}

    @pytest.fixture
    def opened(self, path: Path) -> ImageGenerator:
        return open_generator(path, "cpu")

    def test_the_table_knows_the_family(self, opened: ImageGenerator) -> None:
        assert isinstance(opened, family(self.family))
        assert self.family in FAMILIES

    def test_what_it_says_of_itself_is_what_it_makes(self, opened: ImageGenerator) -> None:
        images, maps = opened.generate(**self.given(opened, [1, 2, 3]))
        assert images.dtype == torch.uint8
        assert tuple(images.shape) == (3, *opened.size, opened.image_channels)
        assert opened.image_channels in (1, 3)
        assert 1 <= len(opened.latent_shape) <= 3
        assert [m.shape[1] for m in maps] == list(opened.feature_channels)
        assert [tuple(m.shape[2:]) for m in maps] == list(opened.feature_sizes)
        assert all(len(m) == 3 and m.is_floating_point() and m.isfinite().all() for m in maps)
        heights = [size[0] for size in opened.feature_sizes]
        assert max(opened.feature_sizes) == opened.size
        assert heights == sorted(heights)
        assert images.float().std() > 0
        assert len(opened.sha256) == 64

    def test_equal_latents_give_equal_bytes(self, opened: ImageGenerator, path: Path) -> None:
        given = self.given(opened, [5, 6])
        first, again = opened.generate(**given), open_generator(path, "cpu", opened.sha256).generate(**given)
        assert torch.equal(first.images, again.images)
        assert all(torch.equal(a, b) for a, b in zip(first.feature_maps, again.feature_maps, strict=True))
        other = opened.generate(**self.given(opened, [7, 8]))
        assert not torch.equal(first.images, other.images)

    def test_a_sample_knows_nothing_of_those_beside_it(self, opened: ImageGenerator) -> None:
        """In batches of one size; what makes pairs while a model trains puts any of them together."""
        first, other = (opened.generate(**self.given(opened, seeds)) for seeds in ([5, 6, 7, 8], [8, 9, 10, 5]))
        for here, there in ((0, 3), (3, 0)):
            assert torch.equal(first.images[here], other.images[there])
            maps = zip(first.feature_maps, other.feature_maps, strict=True)
            assert all(torch.equal(a[here], b[there]) for a, b in maps)

    def test_a_crop_is_a_part_of_the_picture_and_maps_stay_whole(self, opened: ImageGenerator) -> None:
        height, width = opened.size
        crop = Crop(height // 4, height // 2, 1, width - 1)
        view, given = opened.cropped(crop), self.given(opened, [3])
        assert view.image_size == (crop.height, crop.width)
        assert opened.image_size == opened.size
        whole, part = opened.generate(**given), view.generate(**given)
        assert torch.equal(whole.images[:, *crop.slices], part.images)
        assert all(torch.equal(a, b) for a, b in zip(whole.feature_maps, part.feature_maps, strict=True))
        with pytest.raises(InputError, match="reaches beyond"):
            opened.cropped(Crop(0, height + 1, 0, width))

    def test_a_replayed_one_makes_the_same(self, opened: ImageGenerator) -> None:
        given = self.given(opened, [4])
        assert torch.equal(opened.generate(**given).images, opened.replayed().generate(**given).images)

    def test_wrong_wishes_end_in_one_line(self, opened: ImageGenerator, path: Path) -> None:
        shape = opened.latent_shape
        wrong: list[Callable[[], object]] = [
            lambda: opened.generate(np.zeros((2, *shape[:-1], shape[-1] + 1), np.float32)),
            lambda: opened.generate(np.zeros((0, *shape), np.float32)),
            lambda: opened.generate(np.zeros((2, 2, 2, 2, 2), np.float32)),
            lambda: open_generator(path, "cpu", "0" * 64),
            lambda: open_generator(path, "cpu", precision="int4"),
            lambda: opened.generate(latents([1], shape), class_index=10**6),
            lambda: opened.generate(latents([1], shape), class_index=-1),
        ]
        if opened.num_classes:
            wrong += [
                lambda: opened.generate(latents([1], shape)),
                lambda: opened.generate(latents([1, 2], shape), class_index=[0]),
            ]
        if opened.default_truncation is None:
            wrong.append(lambda: opened.generate(latents([1], shape), 0.5, **self._class(opened)))
        for call in wrong:
            with pytest.raises(InputError) as error:
                call()
            assert "\n" not in str(error.value)

    def _class(self, opened: ImageGenerator) -> dict[str, int]:
        return {"class_index": 0} if opened.num_classes else {}

    def test_damaged_files_load_or_end_in_one_line(self, path: Path, tmp_path: Path) -> None:
        if path.is_dir():
            pytest.skip("a folder: its family's own tests damage its files")
        data, rng, file = path.read_bytes(), np.random.default_rng(0), tmp_path / "damaged"
        for _ in range(25):
            broken = bytearray(data[: rng.integers(1, len(data) + 1)])
            for place in rng.integers(0, len(broken), 6):
                broken[place] = rng.integers(256)
            file.write_bytes(broken)
            try:
                open_generator(file, "cpu")
            except InputError as error:
                assert "\n" not in str(error)  # noqa: PT017, it may also load: not every byte matters

    def test_w_makes_the_picture_that_its_z_makes(self, opened: ImageGenerator) -> None:
        if not isinstance(opened, Invertible):
            pytest.skip("this family inverts nothing")
        z, classes = latents([1, 2], opened.latent_shape), self._class(opened)
        ws = opened.map(z, 0.5, **classes)
        assert tuple(ws.shape) == (2, *opened.style_shape)
        assert torch.equal(opened.generate(ws).images, opened.generate(z, 0.5, **classes).images)
        mean, spread = opened.mean_latent()
        assert mean.shape == spread.shape == (opened.style_shape[1],)
        moving = ws.clone().requires_grad_(True)
        with opened.computing_in("float32"):
            image = opened.synthesise(moving)
        assert tuple(image.shape) == (2, opened.image_channels, *opened.size)
        image.square().sum().backward()
        assert moving.grad is not None
        assert moving.grad.abs().sum() > 0
        seen = opened.perceive(image.detach())
        assert bool(seen) == opened.perceptive

    def test_what_changes_in_a_map_changes_the_picture_there(self, opened: ImageGenerator) -> None:
        """A spot in a layer's output moves map and picture at the same place, within half a pixel of the map."""
        rng = np.random.default_rng(0)
        self._straighten(opened)
        for k, layer in enumerate(self.layers(opened)):
            height, width = opened.feature_sizes[k]
            if height < 8:
                continue  # everything there is near a border
            places = rng.integers((height // 3, width // 3), (height // 2, width // 2), (4, 2))
            mirrored = np.array([height - 1, width - 1]) - places  # what borders do to one, they do to the other
            offsets = []
            for n, (y, x) in enumerate([*places, *mirrored]):
                spot = Spot(opened, layer, height, width, int(y), int(x))
                offsets.append(spot.offset(k, self.given(opened, [9, 10]), n % 4))
            assert np.abs(np.mean(offsets, 0)).max() < 0.5, f"map {k}: picture is off by {np.mean(offsets, 0)} pixels"

    def test_content_that_is_shifted_takes_its_features_along(self, opened: ImageGenerator) -> None:
        """Cross-correlation finds every later map, and the picture, shifted as the content was, within half a pixel of
        the coarser of the two.

        Content is a pattern in a photograph where the family looks at these, else one in an early layer's output.
        """
        self._straighten(opened)
        for scale, shift, before, after in self._moved(opened):
            found = np.array(displacement(before, after)) - np.array(shift) * scale
            assert (np.abs(found) <= 0.5 * np.maximum(scale, 1)).all(), f"{tuple(before.shape)}: off by {found} pixels"

    @torch.no_grad()
    def _straighten(self, opened: ImageGenerator) -> None:
        """Random kernels lean to a side, trained ones do not."""
        for weight in [w for layer in self.layers(opened) for w in layer.parameters() if w.ndim == 4]:
            weight.copy_((weight + weight.flip(2, 3)) / 2)

    def _moved(self, opened: ImageGenerator) -> Iterator[tuple[np.ndarray, tuple[int, int], Tensor, Tensor]]:
        """For each map: its pixels for one of the content's, the content's shift, what the content and what the
        shifted content change in it."""
        pattern = torch.randn(64, 3, 3, generator=torch.Generator().manual_seed(0))
        if isinstance(opened, Seeing):
            (height, width), shift = opened.size, (opened.size[0] // 4, opened.size[1] // 4)

            def look(at: tuple[int, int] | None) -> list[Tensor]:
                picture = torch.zeros(8, opened.image_channels, height, width)
                if at is not None:
                    picture[:, :, at[0] : at[0] + 3, at[1] : at[1] + 3] = pattern[:8, None]
                classes = torch.zeros(8, dtype=torch.int64) if opened.num_classes else None
                with torch.inference_mode():
                    return opened.see(picture, classes)

            first, k = (height // 4, width // 4), -1
        else:
            k = max(i for i, size in enumerate(opened.feature_sizes) if min(size) < min(opened.size))
            (height, width), shift, layer = opened.feature_sizes[k], (2, 1), self.layers(opened)[k]
            given = self.given(opened, [9, 10])

            def look(at: tuple[int, int] | None) -> list[Tensor]:
                picture, maps = Spot(opened, layer, height, width, *(at or (0, 0))).run(at and 1e-2, given, pattern)
                return [*maps[k:], picture]

            first = (height // 2 - 2, width // 2 - 2)
        base, here, there = look(None), look(first), look((first[0] + shift[0], first[1] + shift[1]))
        for still, one, two in zip(base, here, there, strict=True):
            if min(still.shape[2:]) >= 16:
                scale = np.array([still.shape[2] / height, still.shape[3] / width])
                yield scale, shift, one - still, two - still


def displacement(before: Tensor, after: Tensor) -> tuple[int, int]:
    """Rows and columns by which ``after`` is ``before`` shifted: where their cross-correlation is highest."""
    size = [2 * n for n in before.shape[2:]]
    energy = [x.float().square().sum(1) for x in (before, after)]
    peaks = [e.amax((1, 2), keepdim=True) for e in energy]
    strong = [
        torch.where(e > 0.25 * p, e / p, 0.0) for e, p in zip(energy, peaks, strict=True)
    ]  # not what attention sees
    spectra = [torch.fft.rfft2(e, s=size) for e in strong]
    found = torch.fft.irfft2((spectra[0].conj() * spectra[1]).sum(0), s=size)
    row, column = divmod(int(found.argmax()), found.shape[1])
    return (row + size[0] // 2) % size[0] - size[0] // 2, (column + size[1] // 2) % size[1] - size[1] // 2


class Spot:
    """A bump in one pixel of a layer's output, and where it is seen."""

    def __init__(self, opened: ImageGenerator, layer: nn.Module, height: int, width: int, y: int, x: int) -> None:
        self.opened, self.layer, self.at = opened, layer, (y, x)
        self.height, self.width, self.strength, self.seed = height, width, 0.0, 0
        self.pattern: Tensor | None = None

    def _bump(self, module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        top, left = (output.shape[2] - self.height) // 2, (output.shape[3] - self.width) // 2
        changed, (y, x) = output.clone(), (top + self.at[0], left + self.at[1])
        signs = self.pattern
        if signs is None:
            signs = torch.randn(output.shape[1], 1, 1, generator=torch.Generator().manual_seed(self.seed))
        rows, columns = signs.shape[1:]
        changed[:, :, y : y + rows, x : x + columns] += self.strength * signs[: output.shape[1]]
        return changed

    def run(self, strength: float | None, given: dict, pattern: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Picture and maps with the bump, or with a pattern of as many channels or more in its place; None: without."""
        self.strength, self.pattern = strength or 0.0, pattern
        handle = self.layer.register_forward_hook(self._bump)
        try:
            with torch.inference_mode():
                latent = torch.as_tensor(given["latent"])
                classes = given.get("class_index")
                known = None if classes is None else torch.as_tensor(classes)
                return self.opened.render(latent, 1.0, known)
        finally:
            handle.remove()

    def offset(self, k: int, given: dict, seed: int) -> tuple[float, float]:
        """Rows and columns, in pixels of the map, from its change to the picture's."""
        self.seed = seed
        before, after = self.run(0.0, given), self.run(1e-2, given)
        in_map = _centre((after[1][k] - before[1][k]).square().sum((0, 1)))
        in_picture = _centre((after[0] - before[0]).square().sum((0, 1)))
        scale = self.height / self.opened.size[0], self.width / self.opened.size[1]
        return in_picture[0] * scale[0] - in_map[0], in_picture[1] * scale[1] - in_map[1]


def _centre(weights: Tensor) -> tuple[float, float]:
    """Centre of mass, a pixel's own centre at + 1/2."""
    total = float(weights.sum())
    assert total > 0, "the bump is not seen"
    rows = torch.arange(weights.shape[0]) + 0.5
    columns = torch.arange(weights.shape[1]) + 0.5
    return float((weights.sum(1) * rows).sum()) / total, float((weights.sum(0) * columns).sum()) / total
