"""Restorers: what they see, what a frozen model teaches them, their files, and whole folders of masks."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from translation_world import SOURCE, scene, write_pairs

from labelfactory.errors import InputError
from labelfactory.factory.pairs.opening import open_source
from labelfactory.factory.translation.degrade import parse_degradation
from labelfactory.factory.translation.incomplete import CHANNELS, filled, stacked
from labelfactory.factory.translation.model import Description, Translation, load_model, save_model
from labelfactory.factory.translation.order import RestorerOrder, RestoringOrder
from labelfactory.factory.translation.restorer import Restorer, load_restorer, save_restorer
from labelfactory.factory.translation.restorer_learning import class_pixels, train_restorer
from labelfactory.factory.translation.restoring import restore, restore_files
from labelfactory.factory.translation.restoring_method import Restoring, RestoringExamples
from labelfactory.factory.translation.settings import LearningSettings
from labelfactory.factory.translation.spade import Spade
from labelfactory.interpreters.classes import parse_class

if TYPE_CHECKING:
    from command_line import Factory

CPU = torch.device("cpu")
TINY = {"width": 4, "hidden": 4, "depth": 2}
COLORS = [(0, 0, 0), (255, 0, 0), (0, 0, 255)]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs") / "scenes", 24)


@pytest.fixture(scope="module")
def synthesis(tmp_path_factory: pytest.TempPathFactory, pairs: Path) -> Path:
    """A small SPADE of random weights: gradients pass through it all the same."""
    torch.manual_seed(0)
    options = {"width": 4, "hidden": 4, "upsamplings": 2, "judge_width": 4, "judge_layers": 2}
    method = Spade(SOURCE, 3, **options)
    classes = open_source(str(pairs))[1]
    about = Description("spade", options, SOURCE, 3, (24, 32), classes)
    path = tmp_path_factory.mktemp("model") / "g.safetensors"
    save_model(path, method.makers, method.judges, about.header())
    return path


def restoring(synthesis: Translation | None, losses: tuple[str, ...], image: bool = False) -> Restoring:
    torch.manual_seed(0)
    return Restoring(Restorer(3, 3 if image else 0, **TINY), losses, synthesis, None, COLORS)


def examples(pairs: Path, method: Restoring) -> RestoringExamples:
    restorer = method.makers["restorer"]
    assert isinstance(restorer, Restorer)
    return RestoringExamples(open_source(str(pairs))[0], restorer, parse_degradation("sparse"), 4, 0, 16, True)


def test_the_nearest_labelled_pixel_fills_what_is_open() -> None:
    mask = np.full((5, 6), 255, np.uint8)
    mask[0, 0], mask[4, 5] = 1, 2
    near, distance = filled(mask)
    assert near[1, 1] == 1
    assert near[3, 4] == 2
    assert distance[0, 3] == 3
    assert distance[0, 0] == 0
    assert stacked(mask, np.zeros((5, 6, 3), np.uint8)).shape == (5, 6, CHANNELS + 3)
    whole = np.zeros((4, 4), np.uint8)
    assert filled(whole)[0] is whole
    with pytest.raises(InputError, match="nothing labelled"):
        filled(np.full((4, 4), 255, np.uint8))


def test_a_restorer_begins_with_the_nearest_labelled_pixel() -> None:
    restorer = Restorer(3, **TINY).eval()
    mask = np.full((9, 14), 255, np.uint8)
    mask[2, 2], mask[7, 10] = 0, 2
    p = restorer.probabilities(torch.from_numpy(stacked(mask))[None])[0]
    assert np.array_equal(p.argmax(0).numpy(), filled(mask)[0])
    assert p.shape == (3, 9, 14)


@pytest.mark.parametrize("losses", [("ce",), ("l1",), ("vgg",), ("ce", "vgg", "l1")])
def test_a_step_lowers_the_loss_and_the_frozen_model_stays(
    losses: tuple[str, ...], pairs: Path, synthesis: Path
) -> None:
    model = load_model(synthesis, CPU)

    def state() -> str:
        digest = hashlib.sha256()
        for network in (model.makers, model.judges):
            for value in network.state_dict().values():
                digest.update(value.numpy().tobytes())
        return digest.hexdigest()

    before = state()
    method = restoring(model, losses)
    batch = examples(pairs, method).fetch(0)
    optimiser = torch.optim.Adam(method.makers.parameters(), lr=3e-3)
    found = []
    for _ in range(25):
        loss, stats, _ = method.generator_loss(batch, torch.Generator())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.append(float(loss.detach()))
    assert set(stats) == set(losses)
    assert found[-1] < found[0]
    assert state() == before
    assert not any(
        p.requires_grad or p.grad is not None for p in [*model.makers.parameters(), *model.judges.parameters()]
    )


def test_gradients_reach_the_restorer_through_the_model_alone(pairs: Path, synthesis: Path) -> None:
    method = restoring(load_model(synthesis, CPU), ("l1",))
    loss, _, _ = method.generator_loss(examples(pairs, method).fetch(0), torch.Generator())
    loss.backward()
    last = method.makers["restorer"].last
    assert isinstance(last, torch.nn.Conv2d)
    assert last.weight.grad is not None
    assert float(last.weight.grad.abs().sum()) > 0


def test_examples_of_a_step_are_always_the_same(pairs: Path) -> None:
    method = restoring(None, ("ce",), image=True)
    one, again, other = (examples(pairs, method).fetch(step) for step in (3, 3, 4))
    assert torch.equal(one.source, again.source)
    assert not torch.equal(one.source, other.source)
    assert one.source.shape == (4, 2 * 4 + 1 + 3, 16, 16)
    assert one.truth is not None
    known = one.source[:, :3].sum(1) > 0
    assert torch.equal(one.source[:, :3].argmax(1)[known], one.truth[known])  # cropped and mirrored together


def trained(pairs: Path, out: Path, kimg: float = 0.4, minutes: float = 5.0, **given: object) -> RestorerOrder:
    settings = LearningSettings(kimg=kimg, batch_size=4, precision="float32", average=0.9, snapshot_minutes=minutes)
    order = RestorerOrder((str(pairs),), out=out, options=TINY, settings=settings, **({"degrade": "sparse"} | given))  # type: ignore[arg-type]
    train_restorer(order, lambda line: None, progress=False)
    return order


def test_training_restores_better_than_the_nearest_pixel_and_is_calibrated(pairs: Path, tmp_path: Path) -> None:
    order = trained(pairs, tmp_path / "r.safetensors", image=True)
    restorer = load_restorer(order.out, CPU)
    wrong = near = total = 0
    for seed in range(100, 112):
        picture, mask, _ = scene(seed)
        given = parse_degradation("sparse")(mask, np.random.default_rng(seed))
        made = restore(restorer, given, picture)
        open_to = given == 255
        wrong += int((made.mask != mask)[open_to].sum())
        near += int((filled(given)[0] != mask)[open_to].sum())
        total += int(open_to.sum())
        assert np.array_equal(made.mask[~open_to], mask[~open_to])
        assert (made.uncertainty[~open_to] == 0).all()
        assert made.uncertainty.max() <= np.log(3) + 1e-5
    assert wrong < 0.7 * near
    told = restorer.header["calibration"]
    assert told["ece"] <= told["ece_before"] + 0.01
    assert float(restorer.network.temperature) == pytest.approx(told["temperature"])


def test_a_run_that_was_stopped_gives_the_same_file(
    pairs: Path, tmp_path: Path, synthesis: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labelfactory.factory.translation import training

    given: dict[str, Any] = {"kimg": 0.12, "minutes": 0.0, "synthesis": synthesis, "losses": "ce,l1"}
    whole = trained(pairs, tmp_path / "whole.safetensors", **given).out.read_bytes()
    step, count = training.TranslationTrainer.train_step, 0

    def stops(self: training.TranslationTrainer) -> dict[str, torch.Tensor]:
        nonlocal count
        count += 1
        if count == 20:  # there is a snapshot after 16
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(training.TranslationTrainer, "train_step", stops)
    with pytest.raises(KeyboardInterrupt):
        trained(pairs, tmp_path / "stopped.safetensors", **given)
    trained(pairs, tmp_path / "stopped.safetensors", **given)
    assert count == 20 + 14  # it went on after step 16, of 30 in all
    assert (tmp_path / "stopped.safetensors").read_bytes() == whole


def test_a_snapshot_of_another_network_is_refused(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.safetensors"
    trained(pairs, out, 0.008)
    with pytest.raises(InputError, match="belongs to another run"):
        trained(pairs, out, 0.008, image=True)


def test_orders_that_cannot_be(pairs: Path, tmp_path: Path, synthesis: Path) -> None:
    out = tmp_path / "r.safetensors"
    with pytest.raises(InputError, match="vgg and l1 need a synthesis model"):
        RestorerOrder(("p",), "sparse", out, losses="ce,l1")
    assert RestorerOrder(("p",), "sparse", out).chosen == ("ce",)
    assert RestorerOrder(("p",), "sparse", out, synthesis=synthesis, losses="l1,ce,l1").chosen == ("l1", "ce")
    other = write_pairs(tmp_path / "other")
    (other / "classes.json").write_text(json.dumps([{"name": n} for n in ("a", "b", "c")]))
    with pytest.raises(InputError, match="they must be the same"):
        trained(other, out, synthesis=synthesis)
    with pytest.raises(InputError, match="does not take these options: depht"):
        train_restorer(RestorerOrder((str(pairs),), "sparse", out, options={"depht": 2}), print, False)


def a_restorer(path: Path, degrade: str, channels: int = 0, pixels: tuple[int, ...] = (5, 5, 5)) -> Path:
    torch.manual_seed(0)
    classes = tuple(parse_class({"name": n, "color": list(c)}, "") for n, c in zip("abc", COLORS, strict=True))
    told = {"options": TINY, "degrade": degrade, "class_pixels": list(pixels)}
    save_restorer(path, Restorer(3, channels, **TINY), classes, told)
    return path


def test_a_folder_is_restored_by_tiles_and_small_masks_are_enlarged(tmp_path: Path, factory: "Factory") -> None:
    (tmp_path / "small").mkdir()
    small = np.kron(np.array([[0, 1], [2, 0]], np.uint8), np.ones((6, 9), np.uint8))
    Image.fromarray(small).save(tmp_path / "small" / "one.png")
    model = a_restorer(tmp_path / "r.safetensors", "downsample:8")
    result = factory(
        "restore", "--model", model, "--masks", tmp_path / "small", "--out", tmp_path / "out", "--tile", 256
    )
    assert result.code == 0, result.err
    assert "1 masks" in result.out
    made = np.array(Image.open(tmp_path / "out" / "masks" / "one.png"))
    assert np.array_equal(made, np.kron(small, np.ones((8, 8), np.uint8)))  # nothing learned: blocks as they are
    assert np.array(Image.open(tmp_path / "out" / "uncertainty" / "one.png")).shape == (96, 144)


def test_a_restorer_of_pictures_wants_them_and_a_class_never_seen_is_said(tmp_path: Path) -> None:
    for kind in ("masks", "images"):
        (tmp_path / "in" / kind).mkdir(parents=True)
    picture, mask, _ = scene(5)
    given = parse_degradation("sparse")(mask, np.random.default_rng(0))
    Image.fromarray(given).save(tmp_path / "in" / "masks" / "x.png")
    Image.fromarray(picture).save(tmp_path / "in" / "images" / "x.png")
    model = a_restorer(tmp_path / "r.safetensors", "sparse", 3, (9, 0, 9))
    order = RestoringOrder(model, tmp_path / "in", tmp_path / "out")
    with pytest.raises(InputError, match="was trained with pictures"):
        restore_files(order, print, False)
    order = RestoringOrder(model, tmp_path / "in", tmp_path / "out", tmp_path / "in")
    said: list[str] = []
    assert restore_files(order, said.append, False) == 1
    assert "b: no pixel of it was in what the restorer learned from" in said[0]
    assert (tmp_path / "out" / "overlays" / "x.png").is_file()
    with pytest.raises(InputError, match=r"has value 7; the restorer has classes 0 to 2"):
        restore(load_restorer(model, CPU), np.full((8, 8), 7, np.uint8), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(InputError, match="they must be equal"):
        restore(load_restorer(model, CPU), mask, np.zeros((8, 8, 3), np.uint8))


def test_files_that_are_no_restorers(tmp_path: Path, synthesis: Path) -> None:
    with pytest.raises(InputError, match="is not a whole restorer file"):
        load_restorer(synthesis, CPU)
    whole = a_restorer(tmp_path / "r.safetensors", "coarse").read_bytes()
    (tmp_path / "half.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="is not a whole restorer file"):
        load_restorer(tmp_path / "half.safetensors", CPU)
    assert not load_restorer(tmp_path / "r.safetensors", CPU).degradation.exact


def test_pixels_of_classes_are_counted(pairs: Path) -> None:
    counted = class_pixels(open_source(str(pairs))[0], 4)
    assert counted[3] == 0
    assert sum(counted) == 24 * 24 * 32
