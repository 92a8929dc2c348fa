"""One set of masks through every tool's format and back; mapping, matching, reports; broken sources change nothing."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nuclei_world import NUCLEI_CLASSES
from PIL import Image
from pycocotools import mask as coco_api

from labelfactory.errors import InputError
from labelfactory.interpreters.classes import palette
from labelfactory.interpreters.formats import FORMATS, detect_format, import_labels, label_studio_tasks
from labelfactory.interpreters.formats.label_studio_tasks import brushes
from labelfactory.interpreters.formats.labelme_files import document, polygons
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.interpreters.pictures import save_mask

H, W = 20, 24
NAMES = ("seed000001", "seed000002")


@pytest.fixture
def empty() -> LabelSet:
    """What `factory sample` leaves for a person to label."""
    blank = np.full((H, W), 255, np.uint8)
    image = np.zeros((H, W, 1), np.uint8)
    samples = tuple(Sample(name, image, blank, i + 1) for i, name in enumerate(NAMES))
    return LabelSet(NUCLEI_CLASSES, samples, "builtin:nuclei64", "ab" * 32)


@pytest.fixture
def masks() -> dict[str, np.ndarray]:
    y, x = np.mgrid[:H, :W]
    out = {}
    for i, name in enumerate(NAMES):
        mask = np.zeros((H, W), np.uint8)
        mask[(x - 9 - i) ** 2 + (y - 9) ** 2 < 40] = 1
        mask[(x - 9) ** 2 + (y - 9 + i) ** 2 < 9] = 0  # a hole
        mask[2 + i : 9, 17:23] = 2
        mask[4:7, 19:21] = 1  # something within something
        out[name] = mask
    return out


def write_as(format: str, folder: Path, masks: dict[str, np.ndarray]) -> Path:
    """``masks`` as the tool would store them; returns what a person would hand to the import."""
    folder.mkdir()
    names = [c.name for c in NUCLEI_CLASSES]
    if format in ("png", "grey", "rgb"):
        for name, mask in masks.items():
            if format == "png":
                save_mask(folder / f"{name}.png", mask, NUCLEI_CLASSES)
            else:
                Image.fromarray(mask if format == "grey" else palette(NUCLEI_CLASSES)[mask]).save(
                    folder / f"{name}.png"
                )
    elif format == "labelme":
        for name, mask in masks.items():
            text = json.dumps(document(f"../images/{name}.png", mask.shape, polygons(mask, NUCLEI_CLASSES)))
            (folder / f"{name}.json").write_text(text)
    elif format == "cvat":
        (folder / "SegmentationClass").mkdir()
        (folder / "labelmap.txt").write_text(
            "".join(f"{c.name}:{','.join(map(str, c.color))}::\n" for c in NUCLEI_CLASSES)
        )
        for name, mask in masks.items():
            Image.fromarray(palette(NUCLEI_CLASSES)[mask]).save(folder / "SegmentationClass" / f"{name}.png")
    elif format == "coco":
        data: dict[str, Any] = {
            "images": [{"id": i, "file_name": f"{n}.png", "height": H, "width": W} for i, n in enumerate(masks)],
            "categories": [{"id": i, "name": n} for i, n in enumerate(names)],
            "annotations": [],
        }
        for i, mask in enumerate(masks.values()):
            for c in (1, 2):
                code = coco_api.encode(np.asfortranarray((mask == c).astype(np.uint8)))
                code["counts"] = code["counts"].decode()
                data["annotations"].append({"image_id": i, "category_id": c, "segmentation": code})
        (folder / "instances.json").write_text(json.dumps(data))
        return folder / "instances.json"
    else:
        tasks = []
        for name, mask in masks.items():
            task = label_studio_tasks.task(name, "data:,", brushes(name, mask, NUCLEI_CLASSES))
            tasks.append({"data": task["data"], "annotations": [{"result": task["predictions"][0]["result"]}]})
        (folder / "export.json").write_text(json.dumps(tasks))
        return folder / "export.json"
    return folder


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("format", ["png", "grey", "rgb", "labelme", "coco", "label-studio", "cvat"])
def test_the_same_masks_in_every_format(
    tmp_path: Path, empty: LabelSet, masks: dict[str, np.ndarray], format: str, zipped: bool
) -> None:
    source = write_as(format, tmp_path / "source", masks)
    assert detect_format(Source(source)) == ("png" if format in ("grey", "rgb") else format)
    if zipped:
        source = Path(shutil.make_archive(str(tmp_path / "export"), "zip", tmp_path / "source"))
    labels, report = import_labels(empty, source)
    for sample in labels:
        np.testing.assert_array_equal(sample.mask, masks[sample.name])
    assert report.labelled == list(NAMES)
    assert {"nucleus": "nucleus", "neighbour": "neighbour"}.items() <= report.mapping.items()
    assert sum(report.pixels[n] for n in ("nucleus", "neighbour")) == sum((m > 0).sum() for m in masks.values())
    assert labels.content_sha256 != empty.content_sha256


@pytest.mark.parametrize(("source", "count"), [("label_studio.json", 2), ("labelme.json", 1), ("cvat", 2)])
def test_files_that_the_tools_wrote(label_files: Path, empty: LabelSet, source: str, count: int) -> None:
    labels, report = import_labels(empty, label_files / source)
    assert len(report.labelled) == count
    assert {1, 2} <= set(np.unique(labels.samples[0].mask)) | set(np.unique(labels.samples[1].mask))
    assert labels.labelled.samples[0].name == "seed000001"


def test_later_shapes_cover_earlier_ones_and_the_rest_is_filled(tmp_path: Path, empty: LabelSet) -> None:
    square = [[2, 2], [10, 2], [10, 10], [2, 10]]
    shapes = [
        {"label": "nucleus", "points": square},
        {"label": "Neighbour ", "points": [[x + 4, y] for x, y in square]},
    ]
    (tmp_path / f"{NAMES[0]}.json").write_text(json.dumps({"shapes": shapes}))
    labels, report = import_labels(empty, tmp_path)
    assert labels.samples[0].mask[5].tolist() == [0] * 2 + [1] * 4 + [2] * 8 + [0] * 10
    assert report.pixels == {"nucleus": 4 * 8, "Neighbour ": 8 * 8}
    assert report.unlabelled == [NAMES[1]]
    labels, _ = import_labels(empty, tmp_path, fill="ignore")
    assert labels.samples[0].mask[5, 0] == 255
    with pytest.raises(InputError, match="fill: 'sky' is not a class"):
        import_labels(empty, tmp_path, fill="sky")


def test_unknown_classes_are_refused_mapped_ignored_or_added(tmp_path: Path, empty: LabelSet) -> None:
    triangle = [[2, 2], [10, 2], [10, 10]]
    shapes = [{"label": n, "points": triangle} for n in ("cell", "dirt", "nucleus")]
    (tmp_path / f"{NAMES[0]}.json").write_text(json.dumps({"shapes": shapes}))
    with pytest.raises(InputError, match=r"shapes\[0\].*no class for 'cell', 'dirt'.*background, nucleus, neighbour"):
        import_labels(empty, tmp_path)
    _, report = import_labels(empty, tmp_path, mapping={"cell": "nucleus", "dirt": "ignore", "typo": "nucleus"})
    assert report.mapping == {"cell": "nucleus", "dirt": None, "nucleus": "nucleus"}
    text = "\n".join(report.lines())
    assert "cell -> nucleus (merged)" in text
    assert "dirt ignored (255)" in text
    assert "no shape is labelled 'typo'" in text
    _, report = import_labels(empty, tmp_path, unknown="ignore")
    assert report.mapping["cell"] is None
    labels, _ = import_labels(empty, tmp_path, unknown="add")
    assert labels.class_names == ("background", "nucleus", "neighbour", "cell", "dirt")
    with pytest.raises(InputError, match="map: cell=sky: no class 'sky'"):
        import_labels(empty, tmp_path, mapping={"cell": "sky"})


def test_drawings_have_to_belong_to_a_sample_of_their_size(
    tmp_path: Path, empty: LabelSet, masks: dict[str, np.ndarray]
) -> None:
    source = write_as("png", tmp_path / "source", masks | {"stranger": masks[NAMES[0]]})
    with pytest.raises(InputError, match=r"stranger\.png: no sample is called 'stranger'"):
        import_labels(empty, source)
    _, report = import_labels(empty, source, skip_unmatched=True)
    assert len(report.labelled) == 2
    assert report.skipped == [str(source / "stranger.png")]
    (source / "stranger.png").unlink()
    save_mask(source / f"{NAMES[0]}.png", np.zeros((H, W + 1), np.uint8), NUCLEI_CLASSES)
    with pytest.raises(InputError, match=r"is for an image of 25 x 20; sample 'seed000001' has 24 x 20"):
        import_labels(empty, source)
    for path in source.iterdir():
        path.rename(source / f"x{path.name}")
    with pytest.raises(InputError, match="none of 2 drawings belongs to a sample"):
        import_labels(empty, source, skip_unmatched=True)


def test_stray_regions_are_reported_and_dropped_on_demand(
    tmp_path: Path, empty: LabelSet, masks: dict[str, np.ndarray]
) -> None:
    masks[NAMES[0]][0, 0] = 1
    source = write_as("png", tmp_path / "source", masks)
    labels, report = import_labels(empty, source)
    assert f"{NAMES[0]}: 1 stray nucleus regions, the smallest of 1 pixel" in report.notes
    assert labels.samples[0].mask[0, 0] == 1
    labels, report = import_labels(empty, source, drop_below=3)
    assert labels.samples[0].mask[0, 0] == 255
    assert (labels.samples[0].mask == 255).sum() == 1
    assert any("dropped" in n for n in report.notes)


def labelme_file(path: Path, shapes: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps({"shapes": shapes}))


def box(label: str, left: int, top: int, right: int, bottom: int) -> dict[str, Any]:
    return {"label": label, "shape_type": "rectangle", "points": [[left, top], [right, bottom]]}


def test_shapes_wholly_covered_by_later_ones_are_reported(tmp_path: Path, empty: LabelSet) -> None:
    shapes = [box("nucleus", 5, 5, 9, 9), box("neighbour", 2, 2, 12, 12), box("nucleus", 12, 2, 14, 4)]
    labelme_file(tmp_path / f"{NAMES[0]}.json", shapes)
    _, report = import_labels(empty, tmp_path)
    covered = [n for n in report.notes if "wholly covered by later shapes" in n]
    assert covered == [
        f"{tmp_path / NAMES[0]}.json: shapes[0] ('nucleus'): wholly covered by later shapes: none of its pixels is left"
    ]
    assert report.pixels == {"nucleus": 4, "neighbour": 100}
    labelme_file(tmp_path / f"{NAMES[0]}.json", shapes[::-1])
    _, report = import_labels(empty, tmp_path)
    assert not [n for n in report.notes if "covered" in n]
    assert report.pixels == {"nucleus": 16 + 4, "neighbour": 84}


def test_lines_and_points_whose_labels_are_ignored_stop_nothing(tmp_path: Path, empty: LabelSet) -> None:
    scale = {"label": "scale", "shape_type": "line", "points": [[1, 18], [9, 18]]}
    tip = {"label": "tip", "shape_type": "point", "points": [[3, 3]]}
    labelme_file(tmp_path / f"{NAMES[0]}.json", [scale, box("nucleus", 2, 2, 8, 8), tip])
    with pytest.raises(InputError, match=r"no class for 'scale'"):
        import_labels(empty, tmp_path)
    with pytest.raises(InputError, match=r"shapes\[0\] \('scale'\): shape_type 'line'.*map its label to 'ignore'"):
        import_labels(empty, tmp_path, mapping={"scale": "nucleus"})
    labels, report = import_labels(empty, tmp_path, mapping={"scale": "ignore"})
    assert (labels.samples[0].mask == 1).sum() == 36
    assert not (labels.samples[0].mask == 255).any()
    assert any("('scale'): left out, as its label is ignored" in n for n in report.notes)
    assert labels.keypoints == ("tip",)
    labels, report = import_labels(empty, tmp_path, unknown="ignore")
    assert (labels.samples[0].mask == 1).sum() == 36
    labels, report = import_labels(empty, tmp_path, mapping={"scale": "ignore", "tip": "ignore"})
    assert labels.keypoints == ()
    assert labels.samples[0].keypoints is None
    assert any("1 points left out" in n for n in report.notes)
    known = replace(empty, keypoints=("top",))
    labels, _ = import_labels(known, tmp_path, mapping={"scale": "ignore", "tip": "top"})
    assert labels.samples[0].keypoints.tolist() == [[3, 3, 2]]


def test_an_emptied_drawing_empties_the_mask(tmp_path: Path, empty: LabelSet) -> None:
    points = np.ones((1, 3), np.float32)
    drawn = replace(
        empty,
        keypoints=("tip",),
        samples=tuple(s._replace(mask=np.ones((H, W), np.uint8), keypoints=points) for s in empty),
    )
    labelme_file(tmp_path / f"{NAMES[0]}.json", [])
    for labels in (drawn, empty):
        result, report = import_labels(labels, tmp_path)
        assert (result.samples[0].mask == 255).all()
        assert result.samples[0].keypoints is None
        np.testing.assert_array_equal(result.samples[1].mask, labels.samples[1].mask)
        assert any("the labels of seed000001 are removed" in n for n in report.notes) == (labels is drawn)
        result, report = import_labels(labels, tmp_path, empty="background")
        assert (result.samples[0].mask == 0).all()
        assert any("all of seed000001 is background" in n for n in report.notes)


@pytest.mark.parametrize("format", ["coco", "label-studio"])
def test_images_that_a_file_merely_lists_keep_their_labels(tmp_path: Path, empty: LabelSet, format: str) -> None:
    """A file of half a project lists all images; a task that nobody opened is not empty. A submitted empty one is."""
    drawn = replace(empty, samples=tuple(s._replace(mask=np.ones((H, W), np.uint8)) for s in empty))
    images = [{"id": i, "file_name": f"{n}.png", "height": H, "width": W} for i, n in enumerate(NAMES)]
    square = {"image_id": 0, "category_id": 1, "segmentation": [[2, 2, 8, 2, 8, 8, 2, 8]]}
    data: Any = {"images": images, "categories": [{"id": 1, "name": "neighbour"}], "annotations": [square]}
    if format == "label-studio":
        task = label_studio_tasks.task(NAMES[0], "data:,", brushes("x", np.full((H, W), 2, np.uint8), NUCLEI_CLASSES))
        opened = {"data": task["data"], "annotations": task["predictions"]}
        data = [opened, {"data": {"sample": NAMES[1]}, "annotations": []}]
    (tmp_path / "a.json").write_text(json.dumps(data))
    result, report = import_labels(drawn, tmp_path)
    assert result.samples[0].mask.max() == 2
    assert (result.samples[1].mask == 1).all()
    assert any("has nothing drawn: seed000002 keeps its labels" in n for n in report.notes)
    result, _ = import_labels(drawn, tmp_path, empty="background")
    assert (result.samples[1].mask == (0 if format == "coco" else 1)).all()
    if format == "label-studio":
        data[1]["annotations"] = [{"result": []}]
        (tmp_path / "a.json").write_text(json.dumps(data))
        result, _ = import_labels(drawn, tmp_path)
        assert (result.samples[1].mask == 255).all()


def test_sources_of_no_known_kind(tmp_path: Path, empty: LabelSet) -> None:
    cases: dict[str, str | bytes] = {"a.txt": "hello", "a.json": "3", "a.zip": b"PK\x03\x04broken", "b.json": "{}"}
    for name, content in cases.items():
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(InputError, match=name):
            import_labels(empty, path)
    with pytest.raises(InputError, match="no such file"):
        import_labels(empty, tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="folder"):
        import_labels(empty, tmp_path / "folder")
    with pytest.raises(InputError, match="has no png labels"):
        import_labels(empty, tmp_path / "folder", "png")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "a.json").write_text("[]")
    (tmp_path / "two" / "b.json").write_text("[]")
    with pytest.raises(InputError, match="two: has no label-studio labels"):
        import_labels(empty, tmp_path / "two", "label-studio")


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from([10**400, -1, 1e308]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def mutate(tree: Any, data: st.DataObject) -> Any:
    """``tree`` with one node somewhere replaced by anything, or removed."""
    if not isinstance(tree, dict | list) or not tree:
        return data.draw(ANYTHING)
    key = data.draw(st.sampled_from(sorted(tree) if isinstance(tree, dict) else range(len(tree))))
    action = data.draw(st.sampled_from(["deeper", "deeper", "deeper", "replace", "remove"]))
    copy = tree.copy()
    if action == "remove":
        del copy[key]
    else:
        copy[key] = data.draw(ANYTHING) if action == "replace" else mutate(tree[key], data)
    return copy


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), format=st.sampled_from(["labelme", "coco", "label-studio"]))
def test_any_node_may_be_anything_and_only_input_errors_come_out(
    tmp_path: Path, empty: LabelSet, masks: dict[str, np.ndarray], data: st.DataObject, format: Any
) -> None:
    source = tmp_path / format
    if not source.exists():
        write_as(format, source, masks)
    original = sorted(source.glob("*.json"))[0]
    broken = tmp_path / f"{NAMES[0]}.json"
    broken.write_text(json.dumps(mutate(json.loads(original.read_text()), data)))
    try:
        labels, report = import_labels(empty, broken, data.draw(st.sampled_from([format, "auto"])))
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert report.labelled or report.unlabelled
        assert labels.class_names == empty.class_names


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), format=st.sampled_from(["png", "labelme", "coco", "label-studio", "cvat", "zip"]))
def test_damaged_bytes_give_one_line(
    tmp_path: Path, empty: LabelSet, masks: dict[str, np.ndarray], data: st.DataObject, format: str
) -> None:
    source = tmp_path / format
    if not source.exists():
        write_as("labelme" if format == "zip" else format, source, masks)
        if format == "zip":
            shutil.make_archive(str(source / "export"), "zip", source)
    damaged = tmp_path / "damaged"
    shutil.rmtree(damaged, ignore_errors=True)
    shutil.copytree(source, damaged)
    suffix = "*.zip" if format == "zip" else "*"
    path = data.draw(st.sampled_from(sorted(p for p in damaged.rglob(suffix) if p.is_file())))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    try:
        import_labels(empty, path if format == "zip" else damaged, data.draw(st.sampled_from(["auto", *FORMATS])))
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017
