"""What every segmenter promises (factory/segmenters/segmenter.py), as tests that each name of the table inherits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from disc_world import discs

from labelfactory.errors import InputError
from labelfactory.factory.segmenters.catalogue import build_segmenter, load_segmenter, options_of, save_segmenter
from labelfactory.factory.segmenters.inference import predict
from labelfactory.factory.segmenters.segmenter import Segmenter

CLASSES = 3


def pictures(net: Segmenter, count: int = 2) -> torch.Tensor:
    """Discs of a size that the network takes."""
    side = net.fitting_size(64 + 2 * net.margin)
    return torch.from_numpy(discs(count, side).images)


class SegmenterContract:
    """``name`` is a segmenter of the table; ``tiny`` are options that make it small."""

    @pytest.fixture
    def name(self) -> str:
        raise AssertionError("a member of the suite says which segmenter it is")

    @pytest.fixture
    def tiny(self) -> dict[str, Any]:
        return {}

    @pytest.fixture
    def net(self, name: str, tiny: dict[str, Any]) -> Segmenter:
        torch.manual_seed(0)
        return build_segmenter(name, 1, CLASSES, **tiny)

    def test_logits_are_one_a_class_and_pixel(self, net: Segmenter) -> None:
        images = pictures(net)
        logits = net.eval()(net.prepare(images))
        inside = images.shape[1] - 2 * net.margin
        assert logits.shape == (len(images), CLASSES, inside, inside)
        assert logits.isfinite().all()

    def test_probabilities_sum_to_one_and_leave_the_mode_as_it_was(self, net: Segmenter) -> None:
        net.train()
        found = net.probabilities(pictures(net))
        assert found.dtype == torch.float32
        assert torch.allclose(found.sum(1), torch.ones(()), atol=1e-5)
        assert net.training
        assert torch.equal(found, net.probabilities(pictures(net)))

    def test_an_image_of_any_size_is_predicted(self, net: Segmenter) -> None:
        image = np.random.default_rng(0).integers(0, 256, (70, 131, 1), dtype=np.uint8)
        found = predict(net, image, tile=128, halo=32, blend=16)
        assert found.shape == (CLASSES, 70, 131)
        np.testing.assert_allclose(found.sum(0), 1, atol=1e-4)

    def test_a_saved_segmenter_comes_back_equal(
        self, net: Segmenter, name: str, tiny: dict[str, Any], tmp_path: Path
    ) -> None:
        recipe = {"name": name, "image_channels": 1, "classes": ["a", "b", "c"], "options": tiny}
        save_segmenter(net, tmp_path / "net.safetensors", recipe)
        loaded, told = load_segmenter(tmp_path / "net.safetensors")
        assert told["name"] == name
        assert type(loaded) is type(net)
        assert (loaded.margin, loaded.in_channels, loaded.num_classes) == (net.margin, net.in_channels, CLASSES)
        assert torch.equal(loaded.probabilities(pictures(net)), net.probabilities(pictures(net)))

    def test_training_steps_lower_the_loss(self, net: Segmenter) -> None:
        """A small step down the gradient, on the same images."""
        images = pictures(net)
        masks = torch.from_numpy(discs(2, images.shape[1]).masks).long()
        m = net.margin
        masks = masks[:, m : images.shape[1] - m, m : images.shape[1] - m]
        for module in net.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        net.train()
        optimiser = torch.optim.SGD(net.parameters(), lr=1e-3)
        losses = []
        for _ in range(4):
            loss = F.cross_entropy(net(net.prepare(images)), masks)
            losses.append(loss.item())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        assert losses[-1] < losses[0]

    def test_every_option_has_a_help_and_a_default_of_its_type(self, name: str) -> None:
        for option, (kind, default, about, _) in options_of(name).items():
            assert about.help.endswith("."), option
            about.check(option, default)
            assert default is None or type(default) is dict or isinstance(default, kind), option

    def test_what_is_no_option_or_no_value_of_it_is_named(self, name: str) -> None:
        with pytest.raises(InputError, match=f"{name} does not take these options: colour; it takes "):
            build_segmenter(name, 1, CLASSES, colour=True)
        option = next(iter(options_of(name)))
        with pytest.raises(InputError, match=f"{name}: option {option} is <object"):
            build_segmenter(name, 1, CLASSES, **{option: object()})
