"""A segmenter that has painted in what squares hide of pictures, before it sees a label."""

from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import Factory
from disc_world import discs, write_folder

from labelfactory.errors import InputError, Interrupted
from labelfactory.factory.pairs.pairs import ArrayPairs, Pairs
from labelfactory.factory.segmenters.catalogue import build_segmenter, load_segmenter
from labelfactory.factory.segmenters.pretraining import PaintingIn, hidden_squares, pretrain
from labelfactory.factory.segmenters.pretraining_order import PretrainingOrder
from labelfactory.factory.segmenters.starting import PRETRAINED, start_from
from labelfactory.factory.translation.method import Batch

TINY = {"width": 4, "depth": 2}


def order(out: Path, **changes: object) -> PretrainingOrder:
    usual = {"images": ("discs",), "options": TINY, "kimg": 0.4, "batch_size": 8, "patch": 4, "device": "cpu"}
    return PretrainingOrder(out=out, **usual | {"snapshot_minutes": 60.0} | changes)


def pretrained(pictures: Pairs, wanted: PretrainingOrder) -> dict[str, torch.Tensor]:
    pretrain(pictures, wanted, tell=lambda _: None, progress=False)
    return PRETRAINED.unpack(wanted.out.read_bytes(), "")[1]


def test_hidden_squares_are_squares_of_a_grid_that_begins_anywhere() -> None:
    rng, found = torch.Generator().manual_seed(0), []
    for _ in range(50):
        hidden = hidden_squares(torch.zeros(4, 3, 24, 40), 8, 0.3, rng)
        assert hidden.shape == (4, 1, 24, 40)
        changes = (hidden[..., 1:] != hidden[..., :-1]).flatten(0, 2).any(0).nonzero().flatten() + 1
        assert len(set((changes % 8).tolist())) == 1, "all edges lie on one grid"
        found.append((int(changes[0]) % 8, float(hidden.float().mean())))
    assert len({edge for edge, _ in found}) > 4
    assert 0.25 < np.mean([share for _, share in found]) < 0.35
    assert hidden_squares(torch.zeros(1, 1, 5, 3), 64, 0.95, rng).shape == (1, 1, 5, 3)


def test_hidden_pixels_alone_count_and_a_network_learns_to_paint_them() -> None:
    torch.manual_seed(0)
    network = build_segmenter("unet-small", 1, 2, **TINY)
    method = PaintingIn(network, 1, 4, 0.5)
    slopes = torch.linspace(-1, 1, 16)[:, None, None, None]
    x = slopes * torch.linspace(-1, 1, 16) + 0.5 * torch.linspace(-1, 1, 16)[:, None]  # around tells what is hidden
    rng = lambda: torch.Generator().manual_seed(3)  # noqa: E731
    hidden = hidden_squares(x, 4, 0.5, rng())
    loss = method.generator_loss(Batch(x, x), rng())[0]
    shown = torch.where(hidden, x.mean((2, 3), keepdim=True), x)
    error = (network((shown + 1) / 2)[:, :1] - x).square() / (x.var((1, 2, 3), keepdim=True) + 0.0025)
    assert torch.allclose(loss, error[hidden].mean(), rtol=1e-4)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(4)
    losses = []
    for _ in range(60):
        loss = method.generator_loss(Batch(x, x), generator)[0]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.5  # 1 is what the mean grey explains


def test_what_is_pretrained_begins_a_training_and_its_head_is_fresh(tmp_path: Path) -> None:
    colour = ArrayPairs(np.repeat(discs(24).images, 3, 3), discs(24).masks)
    state = pretrained(colour, order(tmp_path / "p.safetensors"))
    network = build_segmenter("unet-small", 3, 3, **TINY)  # as many classes as the picture has channels
    head = network.state_dict()["score.weight"].clone()
    start_from(network, tmp_path / "p.safetensors", "unet-small")
    own = network.state_dict()
    assert torch.equal(own["score.weight"], head)
    assert sorted(own.keys() - state.keys()) == ["score.bias", "score.weight"]
    assert all(torch.equal(own[name], value) for name, value in state.items())
    with pytest.raises(InputError, match="is of unet-small, the network to train is unet"):
        start_from(build_segmenter("unet", 3, 3, **TINY), tmp_path / "p.safetensors", "unet")
    with pytest.raises(InputError, match="do not fit"):
        start_from(build_segmenter("unet-small", 1, 3, **TINY), tmp_path / "p.safetensors", "unet-small")
    with pytest.raises(InputError, match="is not a whole segmenter file"):
        load_segmenter(tmp_path / "p.safetensors")


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = discs(24, seed=2)
    whole = pretrained(pictures, order(tmp_path / "a.safetensors"))
    from labelfactory.factory.translation.training import TranslationTrainer

    steps, step = [], TranslationTrainer.train_step

    def interrupted(self: TranslationTrainer) -> dict[str, torch.Tensor]:
        steps.append(1)
        if len(steps) == 20:
            import signal

            signal.raise_signal(signal.SIGINT)
        return step(self)

    monkeypatch.setattr(TranslationTrainer, "train_step", interrupted)
    with pytest.raises(Interrupted, match="the same command goes on"):
        pretrained(pictures, order(tmp_path / "b.safetensors"))
    assert len(steps) == 20
    parts = pretrained(pictures, order(tmp_path / "b.safetensors"))
    assert len(steps) == 50
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_the_command_as_typed(tmp_path: Path, factory: Factory) -> None:
    write_folder(tmp_path / "real", n=12)
    file, call = tmp_path / "p.safetensors", ["pretrain-segmenter", "--images", tmp_path / "real" / "images"]
    call += ["--option", "width=4", "--option", "depth=2", "--kimg", 0.1, "--batch-size", 8, "--device", "cpu"]
    said = factory(*call, "--out", file)
    assert said.code == 0, said.err
    assert "go on with factory train-segmenter --from" in said.out
    assert list((tmp_path / "p.run" / "samples").glob("*.png"))
    train = ["train-segmenter", "--pairs", tmp_path / "real", "--from", file, *call[3:7]]
    said = factory(*train, "--steps", 4, "--batch-size", 4, "--out", tmp_path / "net.safetensors")
    assert said.code == 0, said.err
    assert "note" not in said.err
    for wrong, says in (
        (("--architecture", "mask2former-tiny"), "does not answer pixel by pixel"),
        (("--architecture", "unet-valid"), "does not answer at the border"),
        (("--hidden", 1), "hidden is 1.0: expected more than 0"),
        (("--crop", 8, "--images", tmp_path / "none"), "neither a folder nor a zip"),
    ):
        refused = factory(*call, *wrong, "--out", tmp_path / "wrong.safetensors")
        assert refused.code == 2, refused.err
        assert says in refused.err.strip().splitlines()[-1]
        assert "Traceback" not in refused.err
    file.write_bytes(file.read_bytes()[:-9])
    said = factory(*train, "--out", tmp_path / "other.safetensors")
    assert said.code == 2
    assert "is not a whole segmenter file" in said.err
