"""A small interpreter that learns while somebody draws, in bursts of a fraction of a second, on the drawn pixels alone.

It is for proposals. What a label set is worth in the end is learned from scratch (``heads.classes``): equal labels then
give equal interpreters, however fast somebody drew.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from labelfactory.errors import InputError
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.labels.feature_maps import generated
from labelfactory.factory.labels.proposer import FreshSample, Progress, Proposal
from labelfactory.factory.labels.selection import candidate_seeds
from labelfactory.factory.latents import drawn_classes, latents
from labelfactory.interpreters.array_types import Float, UInt8
from labelfactory.interpreters.directions import strongest
from labelfactory.interpreters.interpreter import StyleInterpreter
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.lookup import hypercolumns
from labelfactory.interpreters.prediction import Prediction
from labelfactory.interpreters.workers import Workers
from labelfactory.limits import IGNORE_INDEX

MEMBERS = 3  # enough to disagree; each costs time between a stroke and its proposal
PIXELS_A_SAMPLE = 2048  # that are learned from; beside one another they tell little
PIXELS_OF_INPUTS = 512  # of each sample, that the inputs are standardised by
BATCH = 256  # pixels a member and step
LEARNING_RATE = 2e-3
CACHE_BYTES = 2**30
FRESH = 64  # samples of the data set to come that can be looked at


def check_interpreter(interpreter: StyleInterpreter, generator: ImageGenerator, labels: LabelSet) -> None:
    """InputError unless an interpreter reads this generator's maps and names the label set's classes."""
    if interpreter.generator_sha256 != generator.sha256:
        raise InputError("the interpreter belongs to another generator; give one that was trained on the label set's")
    names = [c["name"] for c in interpreter.classes]
    if names != list(labels.class_names):
        raise InputError(f"the interpreter's classes are {', '.join(names)}; expected {', '.join(labels.class_names)}")


class FeatureStore:
    """Feature maps of a label set's samples in float16 at their own resolutions, as many as ``budget`` bytes hold."""

    def __init__(self, generator: ImageGenerator, labels: LabelSet, budget: int = CACHE_BYTES) -> None:
        self._generator, self._labels, self._budget = generator, labels, budget
        self._kept: OrderedDict[int, list[Tensor]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._labels)

    def maps(self, index: int) -> list[Float[Tensor, "1 channels height width"]]:
        """One sample's maps, float32 on the generator's device; made again where the budget did not hold them."""
        if index not in self._kept:
            made = generated(self._generator, self._labels, self._labels.samples[index]).feature_maps
            self._keep(index, [m.to("cpu", torch.float16, copy=True) for m in made])
        self._kept.move_to_end(index)
        return [m.to(self._generator.device, torch.float32) for m in self._kept[index]]

    def _keep(self, index: int, maps: list[Tensor]) -> None:
        self._kept[index] = maps
        self._bytes += sum(m.nbytes for m in maps)
        while self._bytes > self._budget and len(self._kept) > 1:
            _, gone = self._kept.popitem(last=False)
            self._bytes -= sum(m.nbytes for m in gone)


class Learner:
    """Learns from masks as they grow, and labels any sample of the set at any time.

    Arguments:
        seed: of everything random; equal calls in equal order give equal weights.
        start: an interpreter to go on from, in place of a fresh one; its proposals are there before the first stroke.

    Raises:
        InputError: ``start`` belongs to another generator, or has other classes.
    """

    def __init__(
        self,
        generator: ImageGenerator,
        labels: LabelSet,
        members: int = MEMBERS,
        seed: int = 0,
        budget: int = CACHE_BYTES,
        start: StyleInterpreter | None = None,
    ) -> None:
        self.features = FeatureStore(generator, labels, budget)
        self.crop, self.size = labels.crop, generator.size
        self._embed = labels.embed
        self._generator, self._truncation = generator.cropped(labels.crop), labels.truncation
        self._seeds = candidate_seeds(FRESH, seed + 1)  # of a stream of their own, as those of `factory sample`
        self._draws = torch.Generator().manual_seed(seed)
        channels = generator.feature_channels
        self._rows: dict[int, tuple[Tensor, Tensor]] = {}  # sample to (inputs of its pixels, classes)
        self._known: dict[int, tuple[np.ndarray, Tensor]] = {}  # sample to (pixels, inputs): looked up once each
        if start is None:
            self.model = StyleInterpreter(channels, max(2, len(labels.classes)), members=members)
            self.model.reset(self._draws)
            self._set_inputs(generator, channels)
        else:
            check_interpreter(start, generator, labels)
            self.model = start.to(generator.device)
        self.model.requires_grad_(True)
        self._optimizer = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE)
        self.model.requires_grad_(False)
        self.revision = 0 if start is None else 1

    @classmethod
    def begin(cls, generator: ImageGenerator, labels: LabelSet, model: Path | None) -> "Learner":
        return cls(generator, labels, start=None if model is None else StyleInterpreter.load(model))

    def _set_inputs(self, generator: ImageGenerator, channels: Sequence[int]) -> None:
        """Standardises the inputs once, by pixels of all samples: labels are not needed for that."""
        blocks = []
        for index in range(len(self.features)):
            pixels = torch.randint(self.size[0] * self.size[1], (PIXELS_OF_INPUTS,), generator=self._draws)
            blocks.append(self._look_up(index, pixels))
        x = torch.cat(blocks)
        mean, std = x.mean(0), x.std(0).clamp_min(1e-6)
        standardised = [(block - mean) / std for block in blocks]
        with Workers(torch.device("cpu")) as workers:
            bases = strongest(lambda: standardised, channels, self.model.directions, self._draws, workers)
        self.model.set_inputs(mean, std, bases)

    def _look_up(self, index: int, pixels: Tensor) -> Float[Tensor, "pixels channels"]:
        maps = [m[0] for m in self.features.maps(index)]
        on = pixels.to(maps[0].device)
        return hypercolumns(maps, on // self.size[1], on % self.size[1], self.size).float().cpu()

    def learn(self, index: int, mask: UInt8[np.ndarray, "height width"]) -> None:
        """Takes in what is drawn on a sample now, in place of what was drawn before; 255 is not labelled."""
        whole = self._embed(mask, IGNORE_INDEX, self.size) if self.crop is not None else mask
        pixels = self._choose(whole.ravel())
        known, inputs = self._known.get(index, (np.empty(0, np.int64), None))
        fresh = np.setdiff1d(pixels, known, assume_unique=True)
        if len(fresh):
            new = self.model.inputs(self._look_up(index, torch.from_numpy(fresh)))
            known, inputs = np.concatenate([known, fresh]), new if inputs is None else torch.cat([inputs, new])
            order = np.argsort(known)
            known, inputs = known[order], inputs[torch.from_numpy(order)]
            self._known[index] = known, inputs
        if not len(pixels) or inputs is None:
            self._rows.pop(index, None)
            return
        places = torch.from_numpy(np.searchsorted(known, pixels))
        self._rows[index] = inputs[places], torch.from_numpy(whole.ravel()[pixels].astype(np.int64))

    def _choose(self, flat: np.ndarray) -> np.ndarray:
        """Labelled pixels, of each class equally many; always the same ones first, as each is looked up once."""
        order = np.random.default_rng(0).permutation(flat.size)
        labelled = order[flat[order] != IGNORE_INDEX]
        classes = flat[labelled]
        share = PIXELS_A_SAMPLE // max(1, len(np.unique(classes)))
        return np.sort(np.concatenate([labelled[classes == c][:share] for c in np.unique(classes)] or [labelled]))

    @property
    def pixels(self) -> int:
        """Number of pixels that it learns from."""
        return sum(len(y) for _, y in self._rows.values())

    @property
    def classes(self) -> list[int]:
        """Class ids that have been drawn somewhere."""
        return sorted({int(c) for _, y in self._rows.values() for c in y.unique()})

    def train(self, seconds: float = 0.15, most: int = 60) -> Progress:
        """One burst: Adam steps for about ``seconds``, at most ``most`` of them, on from where the last one ended."""
        started = time.perf_counter()
        if len(self.classes) < 2:
            return Progress(self.revision, 0, self.pixels, float("nan"), 0.0)
        samples = sorted(self._rows)
        x, y = torch.cat([self._rows[i][0] for i in samples]), torch.cat([self._rows[i][1] for i in samples])
        weight = 1.0 / torch.bincount(y)[y].float()  # classes are drawn alike: a rare one is no less meant
        self.model.requires_grad_(True).train()
        losses: list[float] = []
        with torch.enable_grad():
            while len(losses) < most and (not losses or time.perf_counter() - started < seconds):
                rows = torch.multinomial(weight, self.model.members * BATCH, True, generator=self._draws)
                rows = rows.view(self.model.members, BATCH)
                logits = self.model(x[rows])
                loss = cross_entropy(logits.flatten(0, 1), y[rows].flatten())
                self._optimizer.zero_grad(set_to_none=True)
                (loss * self.model.members).backward()
                self._optimizer.step()
                losses.append(float(loss.detach()))
        self.model.requires_grad_(False).eval()
        self.revision += 1
        return Progress(self.revision, len(losses), len(y), sum(losses) / len(losses), time.perf_counter() - started)

    def predict(self, index: int) -> Prediction:
        """Mask and uncertainty of a sample (of its crop), by the weights as they are."""
        return self.model.predict(self.features.maps(index), crop=self.crop)

    def propose(self, index: int) -> Proposal:
        found = self.predict(index)
        most = max(1e-9, math.log(self.model.members))  # nats, where each member says something else
        heat = (found.uncertainty[0].float().cpu().numpy() / most * 255).round().clip(0, 255).astype(np.uint8)
        return Proposal(index, self.revision, _mask(found), heat, float(found.score[0]))

    def fresh(self, place: int) -> FreshSample:
        seed = self._seeds[place]
        z, classes = latents([seed], self._generator.latent_shape), drawn_classes([seed], self._generator.conditions)
        images, maps = self._generator.generate(z, self._truncation, classes)
        found = self.model.predict(maps, crop=self.crop)
        return FreshSample(place, self.revision, seed, images[0].cpu().numpy(), _mask(found), float(found.score[0]))


def _mask(prediction: Prediction) -> UInt8[np.ndarray, "height width"]:
    return prediction.mask[0].cpu().numpy().astype(np.uint8)
