"""Every command, run inside a folder full of other people's files, leaves them byte for byte.

Once with its output at a new place in that folder, once with its output where somebody's files are.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from PIL import Image
from restyle_world import write_styles, write_vgg

from labelfactory.flows import cli
from labelfactory.interpreters.channels import ValueChannel
from labelfactory.interpreters.labelset import LabelSet

if TYPE_CHECKING:
    from command_line import Factory
    from tiny_world import TinyWorld

NAMES = (
    "audit.html", "notes.txt", ".git/HEAD",
    "thesis.safetensors", "thesis.png", "thesis.html", "thesis.json", "thesis.zarr",
    "preview.png", "values.png", "contact_sheet.png", "pairs_contact_sheet.png", "reconstructions.png",
    "inversion.json", "report.html", "report.json", "confusion.png", "worst.png", "best.png", "training.png",
    "masks/0000.png", "masks/photo.png", "overlays/0000.png", "images/raw.tif", "latents/a.npy", "values/0000.npy",
    "samples/000000.png", "snapshot.pt", "log.jsonl", "curves.png", "generator.safetensors", "quality.json",
    "tasks.json", "labeling_config.xml", "labels.txt", "0000.json", "0000.png", "manifest.json", "data.yaml",
    "annotations/instances.json", "work/drawing.json", "nuclei.zarr/mine",
)  # fmt: skip
"""Files of names that commands themselves write, and others."""


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


NETWORK = """
from torch import nn

def made():
    return nn.Sequential(nn.ConvTranspose2d(4, 8, 8), nn.ReLU(), nn.Conv2d(8, 1, 1), nn.Tanh())
"""


class Things(NamedTuple):
    """What commands start from."""

    checkpoint: Path
    labels: Path
    store: Path
    interpreter: Path
    segmenter: Path
    labelled: Path
    photos: Path
    many: Path
    synthesis: Path
    restorer: Path
    rgb: Path
    vgg: Path


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Things:
    from tiny_world import make_tiny_world

    folder = tmp_path_factory.mktemp("things")
    world: TinyWorld = make_tiny_world(folder)
    labels = LabelSet.load(world.labels)
    points = np.array([[3.5, 4.5, 2]], np.float32)
    full = LabelSet(
        labels.classes,
        tuple(s._replace(keypoints=points, values=np.ones((16, 16, 1), np.float32)) for s in labels),
        labels.generator_uri,
        labels.generator_sha256,
        keypoints=("tip",),
        values=(ValueChannel("depth", "m", 0.0, 2.0),),
    )
    full.save(world.labels, overwrite=True)
    for name in ("images", "masks"):
        shutil.copytree(world.labels / name, folder / "labelled" / name)
    shutil.copytree(world.labels / "images", folder / "photos")
    (folder / "many").mkdir()
    for i in range(32):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (16, 16), np.uint8)).save(folder / f"many/{i}.png")
    (folder / "somebodys_network.py").write_text(NETWORK)
    return Things(
        world.checkpoint,
        world.labels,
        folder / "pairs.zarr",
        folder / "i.safetensors",
        folder / "s.safetensors",
        folder / "labelled",
        folder / "photos",
        folder / "many",
        folder / "g.safetensors",
        folder / "r.safetensors",
        write_styles(folder / "rgb", 2),
        write_vgg(folder / "vgg.safetensors"),
    )


@pytest.fixture
def ready(things: Things, factory: "Factory") -> Things:
    """With the store and the models that later commands need, made by the commands themselves."""
    if not things.segmenter.exists():
        made = [
            ("train-interpreter", "--labels", things.labels, "--generator", things.checkpoint, "--members", 1,
             "--device", "cpu", "--out", things.interpreter),
            ("generate", "--generator", things.checkpoint, "--interpreter", things.interpreter, "--count", 4,
             "--device", "cpu", "--out", things.store),
            ("train-segmenter", "--pairs", things.store, "--steps", 2, "--batch-size", 2, "--architecture",
             "unet-small", "--device", "cpu", "--out", things.segmenter),
            ("train-synthesis", "--pairs", things.store, *SYNTHESIS, "--out", things.synthesis),
            ("train-restorer", "--pairs", things.store, *RESTORER, "--out", things.restorer),
        ]  # fmt: skip
        for arguments in made:
            result = factory(*arguments)
            assert result.code == 0, result.err
    return things


@pytest.fixture
def home(tmp_path: Path, things: Things, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where somebody works: a folder of their files, which is also the current folder."""
    home = tmp_path / "home"
    for name in NAMES:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(f"my own {name}")
    monkeypatch.chdir(home)
    monkeypatch.syspath_prepend(things.labels.parent)
    return home


Arguments = Callable[[Things, str], list[object]]
TRAIN = ["--members", 1, "--device", "cpu"]
SYNTHESIS = ["--method", "pix2pix", "--option", "width=2", "--option", "depth=3", "--option", "judge_width=2",
             "--option", "judge_layers=1", "--batch-size", 2, "--kimg", 0.002, "--device", "cpu"]  # fmt: skip
RESTORER = ["--degrade", "sparse", "--option", "width=2", "--option", "hidden=2", "--option", "depth=2",
            "--batch-size", 2, "--kimg", 0.002, "--device", "cpu"]  # fmt: skip
RESTYLER = ["--option", "width=0.0625", "--size", "32x32", "--batch-size", 2, "--kimg", 0.002, "--device", "cpu"]
COMMANDS: dict[str, tuple[str, Arguments]] = {
    "sample": ("folder", lambda t, out: ["--generator", t.checkpoint, "--classes", "a,b", "--count", 2,
                                         "--candidates", 4, "--device", "cpu", "--out", out]),
    "invert": ("folder", lambda t, out: ["--generator", t.checkpoint, "--images", t.photos, "--classes", "a,b",
                                         "--steps", 1, "--encoder-steps", 0, "--keep-poor", "--device", "cpu",
                                         "--out", out]),
    "import-labels": ("folder", lambda t, out: ["--labels", t.labels, "--source", t.labels / "masks", "--out", out]),
    "import-values": ("folder", lambda t, out: ["--labels", t.labels, "--source", t.labels / "values", "--out", out]),
    "export-labels": ("folder", lambda t, out: ["--labels", t.labels, "--format", "labelme", "--out", out]),
    "train-interpreter": (".safetensors", lambda t, out: ["--labels", t.labels, "--generator", t.checkpoint, *TRAIN,
                                                          "--out", out]),
    "train-keypoints": (".safetensors", lambda t, out: ["--labels", t.labels, "--generator", t.checkpoint, *TRAIN,
                                                        "--out", out]),
    "train-centres": (".safetensors", lambda t, out: ["--labels", t.labels, "--generator", t.checkpoint, *TRAIN,
                                                      "--out", out]),
    "generate": ("folder", lambda t, out: ["--generator", t.checkpoint, "--interpreter", t.interpreter, "--count", 2,
                                           "--device", "cpu", "--out", out]),
    "export": ("folder", lambda t, out: [t.store, "--format", "coco", "--out", out]),
    "show": (".png", lambda t, out: [t.store, "--out", out, "--html", Path(out).with_suffix(".html")]),
    "verify": (".json", lambda t, out: [t.store, "--json", out]),
    "train-segmenter": (".safetensors", lambda t, out: ["--pairs", t.store, "--steps", 2, "--batch-size", 2, "--device",
                                                        "cpu", "--architecture", "unet-small", "--out", out]),
    "pretrain-segmenter": (".safetensors", lambda t, out: ["--images", t.store, "--option", "width=4", "--kimg", 0.002,
                                                           "--batch-size", 2, "--device", "cpu", "--out", out]),
    "measure-sensor": (".json", lambda t, out: ["--images", t.many, "--generator", t.checkpoint, "--device", "cpu",
                                                "--out", out]),
    "train-forest": (".safetensors", lambda t, out: ["--pairs", t.store, "--trees", 2, "--out", out]),
    "predict": ("folder", lambda t, out: ["--segmenter", t.segmenter, "--images", t.photos, "--device", "cpu",
                                          "--out", out]),
    "evaluate": ("folder", lambda t, out: ["--segmenter", t.segmenter, "--images", t.labelled, "--device", "cpu",
                                           "--out", out]),
    "train-generator": ("folder", lambda t, out: ["--data", t.many, "--kimg", 0.016, "--batch", 8, "--device", "cpu",
                                                  "--out", out]),
    "training-curves": (".png", lambda t, out: ["--log", t.store.parent / "log.jsonl", "--out", out]),
    "plan": (".json", lambda t, out: ["--generator", t.checkpoint, "--interpreter", t.interpreter, "--count", 4,
                                      "--simulations", 1, "--device", "cpu", "--json", out]),
    "train-synthesis": (".safetensors", lambda t, out: ["--pairs", t.store, *SYNTHESIS, "--out", out]),
    "synthesise": ("folder", lambda t, out: ["--model", t.synthesis, "--masks", t.store, "--count", 2, "--device",
                                             "cpu", "--out", out]),
    "train-restorer": (".safetensors", lambda t, out: ["--pairs", t.store, *RESTORER, "--out", out]),
    "restore": ("folder", lambda t, out: ["--model", t.restorer, "--masks", t.labelled, "--device", "cpu",
                                          "--out", out]),
    "train-restyler": (".safetensors", lambda t, out: ["--pictures", t.rgb, "--style", t.rgb, "--perceptual-weights",
                                                       t.vgg, *RESTYLER, "--out", out]),
    "restyle": ("folder", lambda t, out: ["--pairs", t.store, "--method", "optimise", "--iterations", 1, "--style",
                                          t.rgb, "--perceptual-weights", t.vgg, "--device", "cpu", "--out", out]),
    "pseudo-label": ("folder", lambda t, out: ["--segmenter", t.segmenter, "--images", t.photos, "--device", "cpu",
                                               "--out", out]),
    "wrap": (".safetensors", lambda t, out: ["--module", "somebodys_network:made", "--z-dim", 4, "--out", out]),
    "convert": (".safetensors", lambda t, out: ["--generator", t.checkpoint, "--out", out]),
    "status": ("", lambda t, out: [t.store]),
    "audit": ("folder", lambda t, out: [t.store, "--steps", 1, "--batch-size", 2, "--device", "cpu", "--out", out]),
}  # fmt: skip
"""What each command writes at ``out`` (a folder, a file of that ending, or nothing), and its arguments."""

ELSEWHERE = {
    "demo": "writes a store and its contact sheet, as generate and show do; takes minutes",
    "correct": "adds to a label set; tests/test_audit.py",
    "export-model": "needs the extra onnx; tests/test_exporting_models.py",
    "evaluate-generator": "trains an encoder; writes as plan does",
    "label": "serves a page until it is stopped; it writes as import-labels does",
    "up": "starts servers until it is stopped",
}


def test_all_commands_are_here() -> None:
    import click

    names = cli.Commands(name="factory").list_commands(click.Context(click.Command("factory")))
    assert set(names) == {*COMMANDS, *ELSEWHERE}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("place", ["new", "taken"])
def test_strangers_files_stay_byte_for_byte(
    command: str, place: str, home: Path, ready: Things, factory: "Factory"
) -> None:
    kind, arguments = COMMANDS[command]
    if not kind and place == "taken":
        pytest.skip("it writes nothing")
    (ready.store.parent / "log.jsonl").write_text('{"kimg": 1, "g": 1.0}\n{"kimg": 2, "g": 0.9}\n')
    before, sources = contents(home), contents(ready.store.parent)
    if kind == "folder":
        out = str(home / "new") if place == "new" else str(home)
    else:
        out = f"{'new' if place == 'new' else 'thesis'}{kind}"
    result = factory(command, *arguments(ready, out))
    assert result.code == (0 if place == "new" else 2), result.err
    after = contents(home)
    assert {name: after.get(name) for name in before} == before
    if place == "new":
        assert (len(after) > len(before)) == bool(kind)
        again = factory(command, *arguments(ready, out))  # what the factory wrote may be written again, or is refused
        assert again.code in (0, 2), again.err
        assert {name: value for name, value in contents(home).items() if name in before} == before
    else:
        assert result.err.strip().splitlines()[-1].startswith("factory: "), result.err
        assert after.keys() == before.keys()
    now = contents(ready.store.parent)
    assert {name: now.get(name) for name in sources} == sources


@pytest.mark.parametrize("command", ["import-labels", "import-values"])
def test_a_label_set_in_somebodys_folder_is_written_into(
    command: str, home: Path, ready: Things, factory: "Factory"
) -> None:
    """Without --out; previews that are not ours stay too."""
    for name in ("masks", "values", "images", "latents"):
        for path in (ready.labels / name).glob("*"):
            (home / name / path.name).write_bytes(path.read_bytes())
    (home / "labelset.json").write_bytes((ready.labels / "labelset.json").read_bytes())
    own = {p.relative_to(ready.labels).as_posix() for p in ready.labels.rglob("*")}
    before = {n: c for n, c in contents(home).items() if n not in own}
    source = ready.labels / ("masks" if command == "import-labels" else "values")
    for _ in range(2):
        result = factory(command, "--labels", home, "--source", source)
        assert result.code == 0, result.err
        assert {n: c for n, c in contents(home).items() if n in before} == before
    name = "preview" if command == "import-labels" else "values"
    assert {p.name for p in home.glob(f"{name}*.png")} == {f"{name}.png", f"{name}-2.png"}
    assert os.path.basename(result.out.split(": look at")[0].split()[-1].removesuffix(":")) == f"{name}-2.png"
