"""Every label kind keeps its contract, and so does one that is written here: only the table knows their names."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from head_contract import HeadContract
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.heads.centres import Centres
from labelfactory.factory.heads.head import Head
from labelfactory.factory.heads.keypoints import Keypoints, with_axis_keypoints
from labelfactory.factory.heads.table import HEADS, head_of
from labelfactory.factory.heads.values import Values
from labelfactory.factory.parameter import parameters
from labelfactory.factory.production.order import Order
from labelfactory.interpreters.channels import ValueChannel
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.interpreters.regression import FeatureRegressor
from labelfactory.storage import ArraySpec, ValueInfo


class Brightness(Head):
    """A toy: how bright the picture is, one number a picture."""

    name: ClassVar[str] = "brightness"
    trained_by: ClassVar[str] = "this test"

    def samples(self, labels: LabelSet) -> list[Sample]:
        if not len(labels):
            raise InputError(f"{labels.where}: no sample")
        return list(labels)

    def fresh(self, feature_channels: Sequence[int], labels: LabelSet, members: int) -> FeatureRegressor:
        return FeatureRegressor(feature_channels, ("brightness",), self.name, members=members)

    def target(self, model: FeatureRegressor, labels: LabelSet, sample: Sample) -> Tensor:
        return torch.from_numpy(sample.image.mean(-1).astype(np.float32))[None]

    def arrays(self, model: FeatureRegressor | None, sha256: str, height: int, width: int) -> tuple[ArraySpec, ...]:
        channels = (ValueInfo("brightness", "", 0.0, 255.0),)
        return (
            ArraySpec(
                "brightness", "float32", ("sample",), (), "NaN", False, head=self.name, model=sha256, channels=channels
            ),
        )

    def predict(self, model: FeatureRegressor | None, maps: Sequence[Tensor], crop: Crop | None) -> dict[str, Tensor]:
        assert model is not None
        return {"brightness": model.mean_and_spread(maps, crop)[0].mean((1, 2, 3)).clamp(0, 255)}


class TestBrightness(HeadContract):
    head = Brightness()

    def taught(self, labels: LabelSet) -> LabelSet:
        return labels

    def untaught(self, labels: LabelSet) -> LabelSet:
        return replace(labels, samples=())


class TestKeypoints(HeadContract):
    head = Keypoints(sigma=1.5)

    def taught(self, labels: LabelSet) -> LabelSet:
        return with_axis_keypoints(labels, "bright")


class TestValues(HeadContract):
    head = Values()

    def taught(self, labels: LabelSet) -> LabelSet:
        samples = tuple(s._replace(values=s.image.astype(np.float32)) for s in labels)
        return replace(labels, samples=samples, values=(ValueChannel("depth", "m", 0.0, 255.0),))


class TestCentres(HeadContract):
    head = Centres(sigma=1.0)

    def taught(self, labels: LabelSet) -> LabelSet:
        return labels

    def untaught(self, labels: LabelSet) -> LabelSet:
        return replace(labels, samples=())


def test_every_member_of_the_table_is_in_the_suite() -> None:
    assert {suite.head.name for suite in HeadContract.__subclasses__()} == {*HEADS, "brightness"}


def test_the_table_is_what_an_order_asks_for() -> None:
    assert set(HEADS) < set(parameters(Order))
    order = Order("builtin:nuclei64", "o.zarr", 5, keypoints="k.safetensors", values="v.safetensors")
    assert order.heads == {"keypoints": "k.safetensors", "values": "v.safetensors"}
    assert replace(order, instances=True).heads == {**order.heads, "centres": ""}
    assert replace(order, instances=True, centres="c").heads == {**order.heads, "centres": "c"}
    with pytest.raises(InputError, match="label kind 'boxes': this version knows keypoints, values, centres"):
        head_of("boxes")
