"""Exports, opened with the libraries of those who will use them."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from storage_data import fill, make_spec, tree

from labelfactory.storage import ClassInfo, InputError, WorkError, create_store, open_dataset
from labelfactory.storage.exports import FORMATS, export

CLASSES = (
    ClassInfo("background", (0, 0, 0)),
    ClassInfo("nucleus", (80, 160, 255), thing=True),
    ClassInfo("tissue", (255, 0, 0), thing=False),
)
SPEC = make_spec(count=14, shard_size=5, classes=CLASSES)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports") / "set"
    fill(create_store(str(folder), SPEC))
    return open_dataset(str(folder))


@pytest.fixture(scope="module")
def exported(dataset, tmp_path_factory):
    """Every format, written once."""
    parent = tmp_path_factory.mktemp("out")
    for format in FORMATS:
        report = export(dataset, format, parent / format)
        assert (report.samples, report.shards, report.written) == (13, 3, 3)
        files = {path: data for path, data in tree(parent / format).items() if not path.startswith(".export/0")}
        assert report.files >= len(files) - 1
    return parent


def truth(dataset, name):
    return dict(zip(dataset.samples.tolist(), dataset.read(name, dataset.samples), strict=True))


def test_png_pairs_open_as_pictures_of_class_ids(dataset, exported):
    masks, images = truth(dataset, "mask"), truth(dataset, "image")
    paths = sorted((exported / "png/masks").iterdir())
    assert [int(path.stem) for path in paths] == dataset.samples.tolist()
    for path in paths:
        with Image.open(path) as mask, Image.open(exported / "png/images" / path.name) as image:
            assert mask.mode == "P"
            assert mask.getpalette()[3:6] == [80, 160, 255]
            assert np.array_equal(np.asarray(mask), masks[int(path.stem)])
            assert np.array_equal(np.asarray(image), images[int(path.stem)])
    rows = (exported / "png/samples.csv").read_text().splitlines()
    assert len(rows) == 14
    assert int(rows[1].split(",")[2]) == int(truth(dataset, "seed")[int(rows[1].split(",")[0])])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools under NumPy 2
def test_coco_instances_open_in_pycocotools(dataset, exported):
    coco = pytest.importorskip("pycocotools.coco").COCO(str(exported / "coco/annotations/instances.json"))
    assert sorted(coco.getImgIds()) == dataset.samples.tolist()
    assert [entry["name"] for entry in coco.loadCats(coco.getCatIds())] == ["nucleus"]
    for sample, mask in truth(dataset, "mask").items():
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=sample))
        union = sum((coco.annToMask(entry) for entry in annotations), np.zeros(mask.shape, int))
        assert np.array_equal(union, (mask == 1).astype(int))
        for entry in annotations:
            left, top, width, height = entry["bbox"]
            pixels = coco.annToMask(entry)
            assert pixels.sum() == entry["area"] == pixels[top : top + height, left : left + width].sum()


def test_coco_panoptic_covers_every_labelled_pixel(dataset, exported):
    document = json.loads((exported / "coco/annotations/panoptic.json").read_text())
    kinds = {entry["id"]: entry["isthing"] for entry in document["categories"]}
    assert kinds == {1: 0, 2: 1, 3: 0}
    masks = truth(dataset, "mask")
    for entry in document["annotations"]:
        with Image.open(exported / "coco/annotations/panoptic" / entry["file_name"]) as picture:
            ids = np.asarray(picture).astype(int) @ [1, 256, 65536]
        assert set(np.unique(ids)) - {0} == {part["id"] for part in entry["segments_info"]}
        for part in entry["segments_info"]:
            assert (masks[entry["image_id"]][ids == part["id"]] == part["category_id"] - 1).all()
            assert (ids == part["id"]).sum() == part["area"]
        assert ((ids == 0) == (masks[entry["image_id"]] == 255)).all()


def test_coco_keypoints_open_in_pycocotools(tmp_path):
    fill(create_store(str(tmp_path / "set"), make_spec(keypoints=("tip", "tail"), instance=True)))
    dataset = open_dataset(str(tmp_path / "set"))
    export(dataset, "coco", tmp_path / "out")
    coco = pytest.importorskip("pycocotools.coco").COCO(str(tmp_path / "out/annotations/keypoints.json"))
    assert coco.loadCats([1])[0]["keypoints"] == ["tip", "tail"]
    points = truth(dataset, "keypoints")
    for sample in dataset.samples.tolist():
        (entry,) = coco.loadAnns(coco.getAnnIds(imgIds=sample))
        assert np.allclose(np.reshape(entry["keypoints"], (2, 3))[:, :2], points[sample][:, :2])
        assert entry["num_keypoints"] == 2


def test_yolo_lines_are_outlines_of_things(dataset, exported):
    masks = truth(dataset, "mask")
    for path in (exported / "yolo/labels/train").iterdir():
        lines = path.read_text().splitlines()
        assert bool(lines) == bool((masks[int(path.stem)] == 1).any())
        for line in lines:
            number, *values = line.split()
            assert number == "0"
            assert len(values) % 2 == 0
            assert len(values) >= 8
            assert all(0 <= float(value) <= 1 for value in values)
    assert "0: 'nucleus'" in (exported / "yolo/data.yaml").read_text()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves its files open
def test_webdataset_opens_the_shards(dataset, exported):
    wds = pytest.importorskip("webdataset")
    pattern = str(exported / "webdataset/shard-{000000..000002}.tar")
    masks, images = truth(dataset, "mask"), truth(dataset, "image")
    seen = []
    for sample in wds.WebDataset(pattern, shardshuffle=False).decode("pil"):
        index = sample["json"]["index"]
        assert sample["__key__"] == f"{index:09d}"
        assert np.array_equal(np.asarray(sample["image.png"]), images[index])
        assert np.array_equal(np.asarray(Image.open(_bytes(exported, index, sample["__url__"]))), masks[index])
        seen.append(index)
    assert seen == dataset.samples.tolist()


def _bytes(exported, index, url):
    """The mask's own file: webdataset's decoder turns an indexed picture into RGB."""
    import io
    import tarfile

    with tarfile.open(url) as tar:
        return io.BytesIO(tar.extractfile(f"{index:09d}.mask.png").read())


def test_datasets_opens_the_parquet_as_images(dataset, exported, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    opened = datasets.load_dataset(str(exported / "parquet"), split="train", cache_dir=str(tmp_path / "cache"))
    assert isinstance(opened.features["image"], datasets.Image)
    assert isinstance(opened.features["mask"], datasets.Image)
    masks, images, seeds = (truth(dataset, name) for name in ("mask", "image", "seed"))
    assert opened["index"][:] == dataset.samples.tolist()
    for row in opened:
        assert np.array_equal(np.asarray(row["image"]), images[row["index"]])
        assert np.array_equal(np.asarray(row["mask"]), masks[row["index"]])
        assert row["seed"] == int(seeds[row["index"]])


@pytest.mark.parametrize("format", FORMATS)
def test_an_interrupted_export_is_resumed(dataset, exported, tmp_path, format):
    class Interrupted(Exception):
        pass

    def stop(done, total):
        if done > 5:
            raise Interrupted

    with pytest.raises(Interrupted):
        export(dataset, format, tmp_path / "out", progress=stop)
    report = export(dataset, format, tmp_path / "out")
    assert report.written == 1
    assert tree(tmp_path / "out") == tree(exported / format)


@pytest.mark.parametrize("format", FORMATS)
def test_what_was_changed_afterwards_does_not_pass_the_check(dataset, exported, tmp_path, format):
    folder = shutil.copytree(exported / format, tmp_path / "out")
    path = next(path for path in sorted(folder.rglob("*")) if path.suffix in (".png", ".tar", ".parquet"))
    data = bytearray(path.read_bytes())
    place = data.find(b"IDAT") + 10  # inside a picture
    data[place : place + 4] = bytes(4)
    path.write_bytes(data)
    with pytest.raises(WorkError, match=r"not what the store holds|cannot be read back"):
        export(dataset, format, folder)


def test_wrong_calls_are_refused(dataset, exported, tmp_path):
    with pytest.raises(InputError, match="format 'gif': expected one of png, coco"):
        export(dataset, "gif", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else"):
        export(dataset, "png", tmp_path)
    with pytest.raises(InputError, match=r"another export \(samples differ\)"):
        export(open_dataset(dataset.uri, keep=False), "png", exported / "png")
    with pytest.raises(InputError, match="no sample passes"):
        export(open_dataset(dataset.uri, max_uncertainty=-1.0), "png", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_yolo_needs_a_thing(tmp_path):
    stuff = tuple(ClassInfo(name, (1, 2, 3), thing=False) for name in ("a", "b"))
    fill(create_store(str(tmp_path / "set"), make_spec(classes=stuff)))
    with pytest.raises(InputError, match="only things"):
        export(open_dataset(str(tmp_path / "set")), "yolo", tmp_path / "out")
