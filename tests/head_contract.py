"""What every label kind promises (factory/heads/head.py), as tests that each member of the table inherits."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_world import TinyWorld

from labelfactory.errors import InputError
from labelfactory.factory.heads.head import Head, load_head, load_regressor, train_head
from labelfactory.factory.heads.table import HEADS, Entry, head_of
from labelfactory.factory.production.endless import EndlessPairs
from labelfactory.factory.production.line import produce
from labelfactory.factory.production.models import forget_models
from labelfactory.factory.production.order import Order
from labelfactory.factory.production.prepare import prepare
from labelfactory.factory.production.render import render_shard
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.regression import FeatureRegressor, RegressionRecipe
from labelfactory.storage import DatasetSpec, open_dataset, verify

FAST = RegressionRecipe(pixels_per_image=64, batch_size=64, steps=8)
_TRAINED: dict[str, bytes] = {}  # by kind: a model serves all tests of its suite


class HeadContract:
    """``head`` is the member; ``taught`` gives a label set what it learns from, ``untaught`` takes that away."""

    head: Head

    def taught(self, labels: LabelSet) -> LabelSet:
        raise AssertionError("a member of the suite says what its head learns from")

    def untaught(self, labels: LabelSet) -> LabelSet:
        return labels

    @pytest.fixture(autouse=True)
    def _in_the_table(self, monkeypatch: pytest.MonkeyPatch) -> None:
        if self.head.name not in HEADS:
            kind = type(self.head)
            monkeypatch.setitem(HEADS, self.head.name, Entry(f"{kind.__module__}:{kind.__name__}", "A toy."))

    @pytest.fixture
    def labels(self, tiny_world: TinyWorld) -> LabelSet:
        return self.taught(LabelSet.load(tiny_world.labels))

    @pytest.fixture
    def model(self, tiny_world: TinyWorld, labels: LabelSet) -> FeatureRegressor:
        if self.head.name not in _TRAINED:
            model = train_head(self.head, tiny_world.generator, labels, members=2, recipe=FAST, progress=False)
            _TRAINED[self.head.name] = model.to_bytes()
        return FeatureRegressor.from_bytes(_TRAINED[self.head.name], "trained")

    @pytest.fixture
    def job(self, tiny_world: TinyWorld, model: FeatureRegressor, tmp_path: Path):
        """A job of ten pairs with this kind's arrays."""
        model.save(tmp_path / "model.safetensors")
        order = Order(
            generator=str(tiny_world.checkpoint), labels=str(tiny_world.labels), out=str(tmp_path / "store"), count=10,
            shard_size=8, device="cpu",
        )  # fmt: skip
        job = prepare(order, progress=False)
        arrays = self.head.arrays(model, model.sha256, job.spec.height, job.spec.width)
        heads = {self.head.name: str(tmp_path / "model.safetensors")}
        return replace(job, spec=replace(job.spec, label_arrays=arrays), heads=heads)

    def test_the_table_leads_to_it(self) -> None:
        found = head_of(self.head.name)
        assert type(found) is type(self.head)
        assert found.name == self.head.name
        assert self.head.trained_by

    def test_nothing_to_learn_from_is_one_line(self, tiny_world: TinyWorld) -> None:
        labels = self.untaught(LabelSet.load(tiny_world.labels))
        with pytest.raises(InputError) as caught:
            train_head(self.head, tiny_world.generator, labels, members=1, recipe=FAST, progress=False)
        assert "\n" not in str(caught.value)
        assert str(tiny_world.labels) in str(caught.value)

    def test_equal_seeds_give_equal_files(
        self, tiny_world: TinyWorld, labels: LabelSet, model: FeatureRegressor
    ) -> None:
        again = train_head(self.head, tiny_world.generator, labels, members=2, recipe=FAST, progress=False)
        other = train_head(self.head, tiny_world.generator, labels, members=2, seed=1, recipe=FAST, progress=False)
        assert again.sha256 == model.sha256 == hashlib.sha256(model.to_bytes()).hexdigest()
        assert other.sha256 != model.sha256

    def test_its_file_comes_back_and_no_other(
        self, tiny_world: TinyWorld, model: FeatureRegressor, tmp_path: Path
    ) -> None:
        model.save(tmp_path / "own")
        again = load_regressor(tmp_path / "own", tiny_world.generator, self.head)
        assert (again.kind, again.names, again.extra) == (self.head.name, model.names, model.extra)
        stranger = FeatureRegressor.from_bytes(model.to_bytes(), "x")
        stranger.generator_sha256 = "ab" * 32
        with pytest.raises(InputError, match="x: belongs to another generator"):
            load_head(stranger.to_bytes(), "x", tiny_world.generator, self.head)
        stranger = FeatureRegressor(tiny_world.generator.feature_channels, ("a",), "something_else", members=1)
        with pytest.raises(InputError, match=r"x: regresses something_else; expected a file that `.+` wrote"):
            load_head(stranger.to_bytes(), "x", tiny_world.generator, self.head)

    def test_labels_of_another_generator_are_refused(self, tiny_world: TinyWorld, labels: LabelSet) -> None:
        with pytest.raises(InputError, match="belong to generator"):
            train_head(self.head, tiny_world.generator, replace(labels, generator_sha256="ab" * 32), progress=False)

    def test_live_pairs_have_its_arrays(self, job) -> None:
        numbers = np.array([6, 2, 9], np.uint64)
        (live,) = EndlessPairs(job, keep=False).make([numbers])
        stored = render_shard(job, 0, 10)
        for array in job.spec.label_arrays:
            assert live[array.name].dtype == array.dtype
            assert live[array.name].tobytes() == stored[array.name][numbers].astype(array.dtype).tobytes(), array.name

    def test_its_arrays_are_data(self, job, model: FeatureRegressor) -> None:
        arrays = job.spec.label_arrays
        assert arrays
        assert {array.head for array in arrays} == {self.head.name}
        assert {array.model for array in arrays} == {model.sha256}
        assert job.spec.heads == {self.head.name: model.sha256}
        again = DatasetSpec.from_json(job.spec.to_json())
        assert (again.label_arrays, again.hash) == (arrays, job.spec.hash)
        assert replace(job.spec, label_arrays=()).hash != job.spec.hash

    @pytest.mark.parametrize("crop", [None, Crop(4, 14, 2, 16)])
    def test_it_predicts_exactly_its_arrays(
        self, tiny_world: TinyWorld, model: FeatureRegressor, crop: Crop | None
    ) -> None:
        generator = tiny_world.generator.cropped(crop)
        images, maps = generator.generate(np.random.default_rng(0).standard_normal((3, 8), dtype=np.float32), 0.7)
        mask = (images[..., 0] > 127).to(torch.uint8)
        found = {"image": images, "mask": mask} | self.head.predict(model, maps, crop)
        host = {name: value.numpy() for name, value in found.items()}
        classes = self.classes(tiny_world)
        host |= self.head.finish(model, host, classes)
        for array in self.head.arrays(model, model.sha256, *generator.image_size):
            values = host[array.name]
            assert (values.dtype, values.shape) == (array.dtype, (3, *array.sample_shape)), array.name

    def test_a_store_is_made_verified_and_made_again_elsewhere(
        self, job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        produce(job, progress=False)
        assert verify(job.out).ok
        dataset = open_dataset(job.out, keep=False)
        names = [array.name for array in job.spec.label_arrays]
        known = {name: dataset.read(name, range(10)) for name in names}
        monkeypatch.setenv("LABELFACTORY_CACHE", str(tmp_path / "elsewhere"))
        forget_models()  # as on another machine, which has the store alone
        made = render_shard(replace(job, interpreter="", heads={}), 8, 10)
        for name in names:
            np.testing.assert_array_equal(made[name], known[name][8:])

    def test_a_store_that_does_not_name_its_model_is_not_made_again_wrongly(self, job, tmp_path: Path) -> None:
        arrays = tuple(replace(array, model="") for array in job.spec.label_arrays)
        nameless = replace(job, spec=replace(job.spec, label_arrays=arrays))
        if self.head.needs_model:
            with pytest.raises(InputError, match=f"does not say which model made its {self.head.name}"):
                render_shard(nameless, 0, 2)
        else:
            assert {array.name for array in arrays} <= set(render_shard(nameless, 0, 2))

    def classes(self, tiny_world: TinyWorld):
        from labelfactory.storage import ClassInfo

        return [ClassInfo(c.name, c.color, c.thing) for c in LabelSet.load(tiny_world.labels).classes]
