"""COCO, opened with its own tools and found where they look."""

import json

import numpy as np
import pytest
from export_data import CLASSES, full_dataset, truth
from PIL import Image
from storage_data import fill, make_arrays, make_spec

from labelfactory.storage import ClassInfo, create_store, finalize, open_dataset
from labelfactory.storage.exports import export

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools, NumPy 2


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return full_dataset(tmp_path_factory.mktemp("exports") / "set")


@pytest.fixture(scope="module")
def out(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "coco"
    export(dataset, "coco", folder)
    return folder


def opened(out, name):
    return pytest.importorskip("pycocotools.coco").COCO(str(out / f"annotations/{name}_train.json"))


def test_instances_are_the_stores_objects(dataset, out):
    coco = opened(out, "instances")
    assert sorted(coco.getImgIds()) == dataset.samples.tolist()
    assert [entry["name"] for entry in coco.loadCats(coco.getCatIds())] == ["nucleus"]
    instances, seeds = truth(dataset, "instance"), truth(dataset, "seed")
    for sample, mask in truth(dataset, "mask").items():
        [image] = coco.loadImgs([sample])
        assert (out / "images/train" / image["file_name"]).is_file()
        assert image["seed"] == str(seeds[sample])
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=sample))
        union = sum((coco.annToMask(entry) for entry in annotations), np.zeros(mask.shape, int))
        assert np.array_equal(union, (mask == 1).astype(int))
        for entry in annotations:
            left, top, width, height = entry["bbox"]
            pixels = coco.annToMask(entry)
            assert pixels.sum() == entry["area"] == pixels[top : top + height, left : left + width].sum()
            assert len(np.unique(instances[sample][pixels == 1])) == 1


def test_objects_of_a_walk_have_one_id_through_their_sequence(tmp_path):
    spec = make_spec(walk=2, walk_degrees=90.0, instance=True)
    fill(create_store(str(tmp_path / "walks"), spec))
    walks = open_dataset(str(tmp_path / "walks"), keep=False)
    export(walks, "coco", tmp_path / "coco")
    coco, numbers = opened(tmp_path / "coco", "instances"), truth(walks, "instance")
    seen = set()
    for entry in coco.loadAnns(coco.getAnnIds()):
        sample = entry["image_id"]
        [image] = coco.loadImgs([sample])
        assert (image["sequence"], image["frame"]) == divmod(sample, 2)
        [number] = np.unique(numbers[sample][coco.annToMask(entry) == 1])
        assert entry.get("track_id") == (2**16 * image["sequence"] + int(number) if number else None)
        seen.add(entry.get("track_id"))
    assert len(seen) > 10


def test_panoptic_covers_every_labelled_pixel(dataset, out):
    document = json.loads((out / "annotations/panoptic_train.json").read_text())
    kinds = {entry["id"]: entry["isthing"] for entry in document["categories"]}
    assert kinds == {1: 0, 2: 1, 3: 0}
    masks = truth(dataset, "mask")
    for entry in document["annotations"]:
        with Image.open(out / "annotations/panoptic_train" / entry["file_name"]) as picture:
            ids = np.asarray(picture).astype(int) @ [1, 256, 65536]
        assert set(np.unique(ids)) - {0} == {part["id"] for part in entry["segments_info"]}
        for part in entry["segments_info"]:
            assert (masks[entry["image_id"]][ids == part["id"]] == part["category_id"] - 1).all()
            assert (ids == part["id"]).sum() == part["area"]
        assert ((ids == 0) == (masks[entry["image_id"]] == 255)).all()


def test_key_points_have_their_confidence_and_uncertainty(dataset, out):
    coco = opened(out, "person_keypoints")
    [category] = coco.loadCats(coco.getCatIds())
    assert (category["id"], category["keypoints"]) == (len(CLASSES) + 1, ["tip", "tail"])
    points, doubt = truth(dataset, "keypoints"), truth(dataset, "keypoint_uncertainty")
    for sample in dataset.samples.tolist():
        (entry,) = coco.loadAnns(coco.getAnnIds(imgIds=sample))
        rows = np.reshape(entry["keypoints"], (2, 3))
        np.testing.assert_array_equal(rows[:, :2].astype(np.float32), points[sample][:, :2])
        np.testing.assert_array_equal(np.float32(entry["keypoint_confidence"]), points[sample][:, 2])
        np.testing.assert_array_equal(np.float32(entry["keypoint_uncertainty"]), doubt[sample])
        left, top, width, height = entry["bbox"]
        assert (rows[:, 0] >= left - 1e-4).all()
        assert (rows[:, 1] <= top + height + 1e-4).all()
        assert width * height == pytest.approx(entry["area"])


def test_points_outside_the_picture_are_not_seen(tmp_path):
    spec = make_spec(
        count=3,
        shard_size=3,
        keypoints=("a", "b"),
        keep_quantile=1.0,
        classes=(*CLASSES, ClassInfo("object", (3, 3, 3))),
    )
    arrays = make_arrays(spec, 0)
    arrays["keypoints"][0] = [[np.nan, np.nan, 0], [2, 3, 0.5]]
    arrays["keypoints"][1] = [[np.nan, np.nan, 0], [7, 3, 0.5]]  # right of a picture of six columns
    with create_store(str(tmp_path / "set"), spec) as store:
        store.write_shard(0, arrays)
        finalize(store)
    export(open_dataset(str(tmp_path / "set")), "coco", tmp_path / "out")
    document = json.loads((tmp_path / "out/annotations/person_keypoints_train.json").read_text())
    assert [entry["image_id"] for entry in document["annotations"]] == [0, 2]
    assert document["annotations"][0]["keypoints"] == [0, 0, 0, 2, 3, 2]
    assert document["annotations"][0]["num_keypoints"] == 1
    assert document["categories"][0]["name"] == "object_"  # as there is a class of the usual name


def test_a_boundary_class_is_no_object(tmp_path):
    classes = (ClassInfo("background", (0, 0, 0)), ClassInfo("cell", (9, 9, 9)), ClassInfo("boundary", (5, 5, 5)))
    fill(create_store(str(tmp_path / "set"), make_spec(classes=classes)))
    export(open_dataset(str(tmp_path / "set")), "coco", tmp_path / "out")
    coco = opened(tmp_path / "out", "instances")
    assert [entry["name"] for entry in coco.loadCats(coco.getCatIds())] == ["cell"]
