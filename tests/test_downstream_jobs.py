"""From a store to a score: the three commands and the flow, on real files."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from disc_world import discs, write_folder
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.factory.pairs.opening import median_frequency, open_source
from labelfactory.factory.pairs.pairs import ArrayPairs
from labelfactory.factory.pairs.store_pairs import StorePairs
from labelfactory.factory.segmenters.catalogue import load_segmenter
from labelfactory.factory.segmenters.order import EvaluationOrder, HumanLabels, PredictionOrder, SegmenterOrder
from labelfactory.factory.segmenters.predicting import evaluate_segmenter, predict_files
from labelfactory.factory.segmenters.rounds import train_rounds
from labelfactory.factory.segmenters.settings import MeanTeacherConfig, TrainingConfig
from labelfactory.flows.cli import main
from labelfactory.storage import ClassInfo, DatasetSpec, create_store, finalize, sample_seeds

TRAINING = TrainingConfig(
    steps=60, batch_size=8, learning_rate=1e-2, average=0.7, validate_every=30, precision="float32"
)
TINY = {"width": 4, "depth": 2}


def make_store(path: Path, n: int = 24) -> Path:
    """A finished store of discs; the left half of every mask is wrong and said to be uncertain."""
    pairs = discs(n, seed=5)
    masks, uncertainty = pairs.masks.copy(), np.zeros(pairs.masks.shape, np.float16)
    masks[:, :, :8] = 1 - masks[:, :, :8]
    uncertainty[:, :, :8] = 0.6
    spec = DatasetSpec(
        count=n,
        height=16,
        width=16,
        channels=1,
        latent_dim=2,
        classes=(ClassInfo("background", (0, 0, 0)), ClassInfo("disc", (230, 159, 0))),
        generator_sha256="0" * 64,
        interpreter_sha256="1" * 64,
        shard_size=8,
    )
    with create_store(str(path), spec) as store:
        for shard in store.claim_missing():
            start, stop = store.shard_range(shard)
            store.write_shard(
                shard,
                {
                    "image": pairs.images[start:stop],
                    "mask": masks[start:stop],
                    "uncertainty": uncertainty[start:stop],
                    "uncertainty_score": np.linspace(0, 0.6, n, dtype=np.float32)[start:stop],
                    "seed": sample_seeds(spec.seed, start, stop),
                    "latent": np.zeros((stop - start, 2), np.float32),
                },
            )
        finalize(store)
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("downstream")
    make_store(root / "store.zarr")
    write_folder(root / "real", n=8, seed=1)
    return root


def order(world: Path, out: Path, **changes: object) -> SegmenterOrder:
    plain = SegmenterOrder(
        pairs=(str(world / "store.zarr"),), out=out, architecture="unet", options=TINY, training=TRAINING
    )
    return replace(plain, **changes)


def judged(segmenter: Path, world: Path, out: Path) -> EvaluationOrder:
    return EvaluationOrder(segmenter, HumanLabels(world / "real"), out)


def test_a_store_is_read_with_its_filter_and_its_uncertainty(world: Path) -> None:
    store = StorePairs(str(world / "store.zarr"), temperature=0.1)
    assert len(store) == 22  # 90 % of 24, rounded up
    assert len(StorePairs(str(world / "store.zarr"), keep=False, limit=10)) == 10
    pair = store[3]
    assert pair.weights is not None
    np.testing.assert_allclose(pair.weights[:, :8], np.exp(-6), rtol=1e-2)
    assert (pair.weights[:, 8:] == 1).all()
    assert np.array_equal(pair.image, discs(24, seed=5)[3].image)


def test_uncertainty_weights_mend_wrong_labels(world: Path, tmp_path: Path) -> None:
    scores = {}
    for temperature in (None, 0.05):
        path = tmp_path / f"{temperature}.safetensors"
        train_rounds(order(world, path, uncertainty_temperature=temperature), progress=False)
        evaluation, _ = evaluate_segmenter(judged(path, world, tmp_path / str(temperature)), progress=False)
        scores[temperature] = evaluation.overall["miou"].value
    assert scores[0.05] > scores[None] + 0.1


def test_train_evaluate_and_predict(world: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    joined = order(
        world,
        path,
        pairs=(str(world / "real"), str(world / "store.zarr")),
        balance=True,
        uncertainty_temperature=0.05,
        border=True,
        class_weights="median-frequency",
        validation=str(world / "real"),
    )
    report = train_rounds(joined, progress=False)
    assert report.best_score > 0.8
    _, recipe = load_segmenter(path)
    assert [t["pairs"] for t in recipe["trained_on"]] == [8, 22]
    assert not path.with_name("net.safetensors.checkpoint").exists()

    evaluation, written = evaluate_segmenter(judged(path, world, tmp_path / "report"), progress=False)
    assert evaluation.classes[1].thing  # people's classes.json says that discs are objects
    assert written["html"].is_file()

    assert (
        predict_files(PredictionOrder(segmenter=path, images=world / "real", out=tmp_path / "out"), progress=False) == 8
    )
    mask = np.array(Image.open(tmp_path / "out" / "masks" / "disc0.png"))
    assert (mask == np.array(Image.open(world / "real" / "masks" / "disc0.png"))).mean() > 0.9
    told = json.loads((tmp_path / "out" / "report.json").read_text())["pictures"]
    assert [row["name"] for row in told] == sorted(row["name"] for row in told)
    assert len(told) == 8
    assert abs(sum(told[0]["share"].values()) - 1) < 1e-3
    assert 0.5 < told[0]["certainty"] <= 1
    with Image.open(tmp_path / "out" / "contact_sheet.png") as sheet:
        assert sheet.width > 4
    one = PredictionOrder(segmenter=path, images=world / "real/images/disc1.png", out=tmp_path / "one", overlays=False)
    assert predict_files(one, progress=False) == 1
    assert not (tmp_path / "one" / "overlays").exists()


def test_a_second_round_learns_from_the_first_ones_labels(world: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    both = order(
        world, path, pairs=(str(world / "store.zarr"), str(world / "real")), uncertainty_temperature=0.05, rounds=2
    )
    train_rounds(both, progress=False)
    assert load_segmenter(path)[1]["rounds"] == 2
    assert [p.name for p in tmp_path.iterdir()] == [path.name]  # neither checkpoints nor relabelled masks stay
    evaluation, _ = evaluate_segmenter(judged(path, world, tmp_path / "report"), progress=False)
    assert evaluation.overall["miou"].value > 0.8
    with pytest.raises(InputError, match="rounds is 0"):
        train_rounds(order(world, path, rounds=0), progress=False)


def test_several_teachers_label_together(world: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    both = order(world, path, pairs=(str(world / "store.zarr"), str(world / "real")), rounds=2, teachers=2)
    train_rounds(both, progress=False)
    _, recipe = load_segmenter(path)
    assert (recipe["rounds"], recipe["teachers"]) == (2, 2)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    evaluation, _ = evaluate_segmenter(judged(path, world, tmp_path / "report"), progress=False)
    assert evaluation.overall["miou"].value > 0.8
    for teachers in (0, 9):
        with pytest.raises(InputError, match=f"teachers is {teachers}: expected 1 to 8"):
            train_rounds(order(world, path, rounds=2, teachers=teachers), progress=False)
    with pytest.raises(InputError, match="3 teachers label for another round, but rounds is 1"):
        train_rounds(order(world, path, teachers=3), progress=False)


def test_unlabelled_pictures_teach_with_the_teachers_labels(world: Path, tmp_path: Path) -> None:
    """Eight labelled discs and forty without labels; the first round sees the eight alone."""
    write_folder(tmp_path / "more", n=40, seed=7)
    settings = {
        "pairs": (str(world / "real"),),
        "unlabelled": (str(tmp_path / "more"),),
        "mean_teacher": MeanTeacherConfig(0.0),
    }
    for self_training in (False, True):
        path = tmp_path / f"{self_training}.safetensors"
        train_rounds(order(world, path, rounds=2, self_training=self_training, **settings), progress=False)
        _, recipe = load_segmenter(path)
        assert recipe["self_training"] is self_training
        evaluation, _ = evaluate_segmenter(judged(path, world, tmp_path / "report"), progress=False)
        assert evaluation.overall["miou"].value > 0.8
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {"more", "report", "False.safetensors", "True.safetensors"}  # the masks of the pictures are gone
    one, two = (load_segmenter(tmp_path / f"{s}.safetensors")[0].state_dict() for s in (False, True))
    assert any(not torch.equal(one[k], two[k]) for k in one)  # other batches: the pictures took part
    colour = tmp_path / "colour"
    colour.mkdir()
    Image.new("RGB", (16, 16)).save(colour / "a.png")
    twice = settings | {"rounds": 2, "self_training": True}
    with pytest.raises(InputError, match=r"pictures are \(16, 16, 3\), those of the pairs \(16, 16, 1\)"):
        train_rounds(order(world, path, **twice | {"unlabelled": (str(colour),)}))
    for wrong in ({"rounds": 1}, {"unlabelled": ()}):
        with pytest.raises(InputError, match="self-training labels unlabelled pictures for another round"):
            train_rounds(order(world, path, **twice | wrong), progress=False)


def test_unlabelled_pictures_and_stores_are_learned_from(world: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    few = order(world, path, pairs=(str(world / "real"),), unlabelled=(str(world / "real"), str(world / "store.zarr")))
    train_rounds(few, progress=False)
    recipe = load_segmenter(path)[1]
    assert recipe["unlabelled"]["sources"] == [str(world / "real"), str(world / "store.zarr")]
    assert recipe["unlabelled"]["consistency"] == 5.0
    evaluation, _ = evaluate_segmenter(judged(path, world, tmp_path / "report"), progress=False)
    assert evaluation.overall["miou"].value > 0.8
    alone = tmp_path / "alone.safetensors"
    train_rounds(replace(few, out=alone, unlabelled=()), progress=False)
    assert load_segmenter(alone)[1]["unlabelled"] is None
    weights = [next(iter(load_segmenter(p)[0].parameters())) for p in (path, alone)]
    assert not weights[0].equal(weights[1])
    with pytest.raises(InputError, match="consistency is -1"):
        MeanTeacherConfig(-1.0)


def test_median_frequency_by_hand() -> None:
    masks = np.zeros((2, 2, 2), np.uint8)
    masks[0, 0, 0] = 1  # class 1 has a quarter of the one image where it is; class 0 has 7 of 8 pixels
    pairs = ArrayPairs(masks[..., None], masks)
    assert median_frequency(pairs, 3) == pytest.approx(
        ((7 / 8 + 1 / 4) / 2 / (7 / 8), (7 / 8 + 1 / 4) / 2 / (1 / 4), 1)
    )


def test_wrong_orders_are_named(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    with pytest.raises(InputError, match="augmentation 'wild': expected one of none"):
        train_rounds(order(world, out, augmentation="wild"))
    with pytest.raises(InputError, match="nothing to train on"):
        train_rounds(order(world, out, pairs=()))
    folder = write_folder(tmp_path / "other", n=1)
    (folder / "classes.json").write_text(json.dumps([{"name": "ground"}, {"name": "disc"}]))
    with pytest.raises(InputError, match=r"ground, disc.*background, disc"):
        train_rounds(order(world, out, pairs=(str(world / "store.zarr"), str(folder))))
    (folder / "classes.json").unlink()
    with pytest.raises(InputError, match="names no classes"):
        open_source(str(folder))


class Result(NamedTuple):
    code: int
    out: str
    err: str


def test_the_commands_as_typed(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def factory(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["factory", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return Result(int(ended.value.code or 0), *capsys.readouterr())

    net = tmp_path / "net.safetensors"
    done = factory(
        "train-segmenter", "--pairs", world / "real", "--out", net, "--architecture", "unet", "--option", "width=4",
        "--option", "depth=2", "--steps", 60, "--batch-size", 8, "--learning-rate", 0.01, "--precision", "fp32",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "60 steps" in done.out
    done = factory("evaluate", "--segmenter", net, "--images", world / "real", "--out", tmp_path / "report")
    assert done.code == 0, done.err
    assert "| mIoU |" in done.out
    assert (tmp_path / "report" / "report.html").is_file()
    done = factory("predict", "--segmenter", net, "--images", world / "real", "--out", tmp_path / "masks")
    assert done.code == 0, done.err
    assert "8 pictures" in done.out
    for wrong, says in (
        (("evaluate", "--segmenter", tmp_path / "no", "--images", world / "real", "--out", tmp_path / "r"), "no segm"),
        (("predict", "--segmenter", net, "--images", tmp_path / "no", "--out", tmp_path / "r"), "neither a folder"),
        (("train-segmenter", "--pairs", world / "real", "--out", net, "--unlabelled", tmp_path / "no"), "neither a f"),
        (("train-segmenter", "--pairs", tmp_path / "no", "--out", net), "expected a dataset store"),
        (("train-segmenter", "--pairs", world / "real", "--out", net, "--option", "width"), "NAME=VALUE"),
        (("train-segmenter", "--pairs", world / "real", "--out", net, "--device", "cuda:99"), "cuda:99"),
        (("train-segmenter", "--pairs", world / "real", "--out", net, "--validate-every", 0), "expected 1 or more"),
        (("train-segmenter", "--pairs", world / "real", "--out", net, "--teachers", 3), "set rounds to 2"),
        (("train-segmenter", "--pairs", world / "real", "--out", net, "--backbone-weights", net), "no pretrained"),
    ):
        refused = factory(*wrong)
        assert refused.code == 2, refused.err
        assert says in refused.err.strip().splitlines()[-1]
        assert "Traceback" not in refused.err
