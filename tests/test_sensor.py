"""A known sensor is recovered from pictures that went through it; generated pictures go through what was measured."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from labelfactory.errors import InputError
from labelfactory.factory.pairs.augment import Batch, augment
from labelfactory.factory.pairs.augmentation import IN_PLACE, NONE
from labelfactory.factory.pairs.pairs import ArrayPairs
from labelfactory.factory.sensor.applying import compressed, taken, through_sensor
from labelfactory.factory.sensor.measuring import measure_sensor
from labelfactory.factory.sensor.order import SensorOrder
from labelfactory.factory.sensor.sensor import Row, Sensor
from labelfactory.factory.sensor.statistics import grain, jpeg_quality, rows_over


def scenes(count, seed, channels=1, size=64):
    """Pictures of many scales, as scenes have them, without grain."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(count, size, size, channels))
    layers = [ndimage.gaussian_filter(noise, (0, s, s, 0)) * s for s in (1.0, 2.0, 4.0, 8.0)]
    light = sum(layers) + 0.3 * rng.normal(size=(count, 1, 1, 1))
    return np.clip(127 + 40 * light, 0, 255).round().astype(np.uint8)


def photographed(images, row, seed=5):
    rng = torch.Generator().manual_seed(seed)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    out = taken(x, [row] * len(x), torch.randn(x.shape, generator=rng))
    return (255 * out).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def middle(rows, name):
    return float(np.median([getattr(row, name) for row in rows]))


@pytest.mark.parametrize(
    ("row", "tolerance"),
    [
        (Row(), {"grain": 0.003, "blur": 0.2, "contrast": 0.08, "brightness": 0.02}),
        (Row(grain=0.03), {"grain": 0.004, "blur": 0.25, "contrast": 0.08, "brightness": 0.02}),
        (Row(blur=1.2), {"grain": 0.003, "blur": 0.2, "contrast": 0.12, "brightness": 0.02}),
        (Row(contrast=0.6, brightness=0.1), {"grain": 0.003, "blur": 0.2, "contrast": 0.06, "brightness": 0.02}),
        (Row(0.8, 0.8, -0.05, (), 0.02), {"grain": 0.004, "blur": 0.25, "contrast": 0.1, "brightness": 0.02}),
    ],
)
def test_a_known_sensor_is_recovered(row, tolerance):
    """Scenes of other seeds on either side: nothing is paired."""
    found = rows_over(photographed(scenes(160, 1), row), scenes(160, 2), [0] * 160)
    for name, within in tolerance.items():
        assert middle(found, name) == pytest.approx(getattr(row, name), abs=within), name


def test_a_colour_cast_is_recovered():
    found = rows_over(photographed(scenes(160, 1, 3), Row(cast=(1.15, 1.0, 0.87))), scenes(160, 2, 3), [0] * 160)
    assert np.median([row.cast for row in found], 0) == pytest.approx([1.15, 1.0, 0.87], abs=0.03)


def test_some_pictures_are_grainy_and_others_are_not():
    mixed = scenes(120, 1)
    mixed[:30] = photographed(mixed[:30], Row(grain=0.04))
    found = [row.grain for row in rows_over(mixed, scenes(120, 2), [0] * 120)]
    assert np.median(found[:30]) == pytest.approx(0.04, abs=0.008)
    assert np.median(found[30:]) < 0.004
    assert grain(photographed(np.full((4, 64, 64, 1), 127, np.uint8), Row(grain=0.05))) == pytest.approx(0.05, rel=0.1)


@pytest.mark.parametrize("quality", [5, 30, 75, 90, 99])
def test_quality_is_read_from_the_files_tables(quality, tmp_path):
    Image.fromarray(scenes(1, 0)[0, ..., 0]).save(tmp_path / "a.jpg", quality=quality)
    assert jpeg_quality((tmp_path / "a.jpg").read_bytes()) == quality
    Image.fromarray(scenes(1, 0)[0, ..., 0]).save(tmp_path / "a.png")
    assert jpeg_quality((tmp_path / "a.png").read_bytes()) == 0


def test_only_generated_pictures_go_through_it_and_a_step_can_be_repeated():
    sensor = Sensor((Row(grain=0.05), Row(blur=1.0, quality=30)))
    x, blank = torch.full((6, 1, 16, 16), 0.5), torch.zeros(6, 16, 16, dtype=torch.int64)
    which = torch.tensor([True, False] * 3)

    def run(how, seed=1, generated=which):
        batch = Batch(x, blank, blank.float(), generated=generated)
        return augment(batch, how, torch.Generator().manual_seed(seed)).images

    with_sensor = replace(NONE, sensor=sensor)
    out = run(with_sensor)
    assert torch.equal(out[~which], x[~which])
    assert (out[which] != x[which]).flatten(1).any(1).any()
    assert torch.equal(out, run(with_sensor))
    assert not torch.equal(out, run(with_sensor, 2))
    assert torch.equal(run(with_sensor, generated=None), x)
    assert torch.equal(run(IN_PLACE), run(IN_PLACE, generated=None))  # without a sensor all is as it was
    assert repr(IN_PLACE) == repr(replace(IN_PLACE, sensor=sensor))  # the text by which old checkpoints know their run


def test_what_a_row_does():
    x = torch.from_numpy(scenes(2, 0, 3)).permute(0, 3, 1, 2).float() / 255
    nothing = torch.zeros(x.shape)
    torch.testing.assert_close(taken(x, [Row()] * 2, nothing), x)
    grey = taken(x, [Row(contrast=0.5), Row(brightness=0.1)], nothing)
    assert grey[0].std() == pytest.approx(float(x[0].std()) / 2, rel=0.02)
    assert grey[1].mean() == pytest.approx(float(x[1].mean()) + 0.1, abs=0.02)
    red = taken(x, [Row(cast=(1.1, 1.0, 0.9))] * 2, nothing).mean((0, 2, 3)) / x.mean((0, 2, 3))
    assert red.tolist() == pytest.approx([1.1, 1.0, 0.9], abs=0.02)
    assert (compressed(x[0], 5) - x[0]).abs().mean() > 2 * (compressed(x[0], 95) - x[0]).abs().mean()
    drawn = through_sensor(x.repeat(20, 1, 1, 1), Sensor((Row(), Row(grain=0.2))), torch.Generator().manual_seed(0))
    same = torch.isclose(drawn, x.repeat(20, 1, 1, 1), atol=1e-5).flatten(1).float().mean(1) > 0.99
    assert 8 < int(same.sum()) < 32


def test_from_pictures_to_a_file_and_back(tiny_checkpoint, tmp_path):
    (tmp_path / "real").mkdir()
    for i, image in enumerate(scenes(12, 3, size=16)):
        Image.fromarray(image[..., 0]).save(tmp_path / f"real/{i:02d}.jpg", quality=60)
    order = SensorOrder(tmp_path / "real", str(tiny_checkpoint), tmp_path / "sensor.json", 12, device="cpu")
    sensor = measure_sensor(order)
    assert Sensor.load(order.out) == sensor
    assert [row.quality for row in sensor.rows] == [60] * 12
    assert sensor.lines()[-1] == "JPEG: 100% of the pictures, quality 60 to 60"
    first = order.out.read_bytes()
    measure_sensor(order)
    assert order.out.read_bytes() == first
    Image.fromarray(scenes(1, 3, size=32)[0, ..., 0]).save(tmp_path / "real/large.jpg")
    with pytest.warns(UserWarning, match="1 of 12 pictures were resized to 16 x 16"):
        assert [row.quality for row in measure_sensor(order).rows].count(0) == 1


def damaged(path: Path, **changes) -> Path:
    document = json.loads(path.read_text())
    path.with_name("bad.json").write_text(json.dumps(document | changes))
    return path.with_name("bad.json")


def test_what_is_wrong_is_said_in_a_line(tiny_checkpoint, tmp_path):
    Sensor((Row(grain=0.1), Row())).save(tmp_path / "s.json", {})
    assert Sensor.load(tmp_path / "s.json") == Sensor((Row(grain=0.1), Row()))
    rows = json.loads((tmp_path / "s.json").read_text())["rows"]
    for change, said in (
        ({"format": "x"}, "expected a file that `factory measure-sensor` wrote"),
        ({"version": 2}, "of version 1"),
        ({"rows": []}, "expected an object"),
        ({"rows": rows | {"grain": [0.1]}}, "columns have different lengths"),
        ({"rows": rows | {"grain": [2, 0]}}, "grain is 2"),
        ({"rows": rows | {"blur": ["a", 0]}}, "expected a number"),
        ({"rows": {name: [] for name in rows}}, "needs at least one"),
    ):
        with pytest.raises(InputError, match=said):
            Sensor.load(damaged(tmp_path / "s.json", **change))
    with pytest.raises(InputError, match="cannot be read"):
        Sensor.load(tmp_path / "none.json")
    (tmp_path / "few").mkdir()
    Image.fromarray(scenes(1, 0)[0, ..., 0]).save(tmp_path / "few/a.png")
    with pytest.raises(InputError, match="has 1 pictures; expected 8 or more"):
        measure_sensor(SensorOrder(tmp_path / "few", str(tiny_checkpoint), tmp_path / "s.json", device="cpu"))
    assert ArrayPairs(scenes(2, 0), np.zeros((2, 64, 64), np.uint8))[0].generated is False
