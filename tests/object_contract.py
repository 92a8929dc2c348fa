"""What every network of objects or key points promises (factory/segmenters/network.py), for each name and task."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from object_world import CLASSES, POINTS, Crowds

from labelfactory.errors import InputError
from labelfactory.factory.pairs.augment import Batch
from labelfactory.factory.pairs.pairs import collate
from labelfactory.factory.segmenters.architectures import SEGMENTERS
from labelfactory.factory.segmenters.catalogue import (
    build_network,
    build_segmenter,
    load_segmenter,
    options_of,
    save_segmenter,
)
from labelfactory.factory.segmenters.inference import find
from labelfactory.factory.segmenters.network import Network
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.segmenters.tasks import Aim, pairs_for


def batch_for(net: Network, aim: Aim, size: int = 64, count: int = 2) -> Batch:
    """Crowded pictures as a step of training sees them."""
    pairs = pairs_for(aim, Crowds(count, size)).fetch(range(count))
    images, masks, weights = (torch.from_numpy(a) for a in collate(pairs))
    objects = torch.from_numpy(np.stack([p.instances for p in pairs])).long() if aim.task != "keypoints" else None
    points = torch.from_numpy(np.stack([p.keypoints for p in pairs])) if aim.task == "keypoints" else None
    return Batch(net.prepare(images), masks.long(), weights, objects, points)


class ObjectContract:
    """``case`` names a network of the table and one of its tasks; ``tiny`` are options that make it small."""

    @pytest.fixture
    def case(self) -> tuple[str, str]:
        raise AssertionError("a member of the suite says which network and task it is")

    @pytest.fixture
    def name(self, case: tuple[str, str]) -> str:
        return case[0]

    @pytest.fixture
    def task(self, case: tuple[str, str]) -> str:
        return case[1]

    @pytest.fixture
    def tiny(self) -> dict[str, Any]:
        return {}

    @pytest.fixture
    def steps(self) -> int:
        return 8

    @pytest.fixture
    def aim(self, task: str) -> Aim:
        return Aim(task, CLASSES, POINTS if task == "keypoints" else ())

    @pytest.fixture
    def net(self, name: str, aim: Aim, tiny: dict[str, Any]) -> Network:
        torch.manual_seed(0)
        return build_network(name, 1, aim, **tiny)

    def test_the_loss_falls_on_the_same_pictures(self, net: Network, aim: Aim, steps: int) -> None:
        batch, how = batch_for(net, aim), TrainingConfig()
        optimiser = torch.optim.Adam(net.parameters(), lr=2e-3)
        losses = []
        for _ in range(steps):
            net.train()
            torch.manual_seed(0)
            loss = net.loss(net.answer(batch.images, batch), batch, how)
            assert loss.shape == ()
            losses.append(loss.item())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        assert np.isfinite(losses).all()
        assert min(losses[-3:]) < losses[0]

    def test_what_it_finds_is_sound(self, net: Network, aim: Aim) -> None:
        """Also before it has learned anything, and for pictures without an object or a label."""
        images = np.stack([p.image for p in Crowds(2, 64).fetch([0, 1])] + [np.zeros((64, 64, 1), np.uint8)])
        net.train()
        said = find(net, images)
        assert net.training
        assert len(said) == len(images)
        for one in said:
            if aim.task in ("instance", "panoptic"):
                assert one.mask is not None
                assert one.instances is not None
                assert one.mask.shape == one.instances.shape == (64, 64)
                numbers = np.unique(one.instances[one.instances > 0]).tolist()
                assert one.scores is not None
                assert set(numbers) <= set(one.scores)
                for number in numbers:
                    labels = np.unique(one.mask[one.instances == number]).tolist()
                    assert len(labels) == 1
                    assert labels[0] in aim.things
                others = set(np.unique(one.mask[one.instances == 0]).tolist())
                assert others <= set(aim.stuff if aim.task == "panoptic" else aim.stuff[:1])
            if one.boxes is not None:
                x0, y0, x1, y1 = one.boxes.corners.T
                assert ((x0 <= x1) & (y0 <= y1)).all()
                assert (one.boxes.corners >= 0).all()
                assert (one.boxes.corners <= 64).all()
                assert set(one.boxes.classes.tolist()) <= set(aim.things)
            if aim.task == "keypoints":
                assert one.keypoints is not None
                assert one.keypoints.shape == (len(aim.keypoints), 3)
                assert (one.keypoints[:, :2] >= 0).all()
                assert (one.keypoints[:, :2] <= 64).all()

    def test_a_saved_network_comes_back_and_knows_its_task(
        self, net: Network, name: str, aim: Aim, tiny: dict[str, Any], tmp_path: Path
    ) -> None:
        classes = [{"name": c.name, "color": list(c.color), "thing": c.thing} for c in aim.classes]
        recipe = {"name": name, "image_channels": 1, "classes": classes, "options": tiny}
        save_segmenter(net, tmp_path / "net.safetensors", recipe | {"task": aim.task, "keypoints": list(aim.keypoints)})
        loaded, _ = load_segmenter(tmp_path / "net.safetensors")
        assert type(loaded) is type(net)
        assert loaded.aim == aim
        images = np.stack([p.image for p in Crowds(1, 64).fetch([0])])
        ours, theirs = find(net, images)[0], find(loaded, images)[0]
        for part in ("mask", "instances", "keypoints"):
            np.testing.assert_array_equal(getattr(ours, part), getattr(theirs, part))
        if ours.boxes is not None and theirs.boxes is not None:
            np.testing.assert_array_equal(ours.boxes.corners, theirs.boxes.corners)

    def test_options_have_a_help_and_other_tasks_are_refused(self, name: str) -> None:
        for option, (kind, default, about, _) in options_of(name).items():
            assert about.help.endswith("."), option
            about.check(option, default)
            assert default is None or type(default) is dict or isinstance(default, kind), option
        if "semantic" not in SEGMENTERS[name].tasks:
            with pytest.raises(InputError, match=f"{name} is no network for semantic: choose one of unet"):
                build_segmenter(name, 1, 3)
