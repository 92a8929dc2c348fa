"""From an order to a trained, calibrated restorer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from labelfactory.errors import InputError
from labelfactory.factory import options
from labelfactory.factory.device import resolve_device
from labelfactory.factory.evaluation.calibration import Reliability, fitted_temperature
from labelfactory.factory.pairs.opening import check_same_classes
from labelfactory.factory.pairs.pairs import ChosenPairs, Pairs
from labelfactory.factory.pairs.resized import parse_size
from labelfactory.factory.translation.degrade import Degradation, parse_degradation
from labelfactory.factory.translation.incomplete import stacked
from labelfactory.factory.translation.learning import open_pairs, vgg16
from labelfactory.factory.translation.model import Translation, load_model
from labelfactory.factory.translation.order import RestorerOrder
from labelfactory.factory.translation.restorer import Restorer, save_restorer
from labelfactory.factory.translation.restoring_method import Restoring, RestoringExamples, incomplete
from labelfactory.factory.translation.running import run
from labelfactory.factory.translation.training import TranslationTrainer
from labelfactory.interpreters.classes import LabelClass
from labelfactory.limits import IGNORE_INDEX

CALIBRATED_ON = 32  # pairs at most
PIXELS = 2000  # of each of them, drawn at random
HELD_BACK = 12  # one pair in so many is not learned from, where no validation is given


def train_restorer(order: RestorerOrder, tell: Callable[[str], Any] = print, progress: bool = True) -> Path:
    """Trains what ``order`` asks for, or goes on with it; the file. ``tell`` gets lines for a person."""
    s, device = order.settings, resolve_device(order.device)
    degradation = parse_degradation(order.degrade)
    chosen = options.checked("the restorer", options.options_of(Restorer), order.options)
    size = None if order.size is None else parse_size(order.size)
    pairs, classes = open_pairs(order.pairs, size)
    if order.validation is not None:
        held, others = open_pairs((order.validation,), size)
        check_same_classes(order.pairs[0], classes, order.validation, others)
    else:
        pairs, held = _split(pairs)
    synthesis = _synthesis(order, classes, pairs, device)
    torch.manual_seed(s.seed)
    channels = pairs[0].image.shape[2] if order.image else 0
    restorer = Restorer(len(classes), channels, **chosen)
    method = Restoring(restorer, order.chosen, synthesis, vgg16(order.perceptual_weights), [c.color for c in classes])
    batch = s.batch_size or Restoring.batch
    examples = RestoringExamples(pairs, restorer, degradation, batch, s.seed, s.crop, s.mirror)
    trainer = TranslationTrainer(method, examples, s, device)
    pixels = class_pixels(pairs, len(classes))
    unseen = [c.name for c, n in zip(classes, pixels, strict=True) if not n]
    if unseen:
        tell(f"no pixel of {', '.join(unseen)} in what it learns from: such classes stay where they are drawn")
    count = sum(p.numel() for p in restorer.parameters()) / 1e6
    seeing = "mask and picture" if order.image else "the mask alone"
    tell(f"{degradation.text} from {seeing}: {count:.2f} M parameters, losses {', '.join(order.chosen)}, on {device}")

    def write() -> str:
        averaged = trainer.average["restorer"]
        assert isinstance(averaged, Restorer)
        temperature, before, after = calibrate(averaged, held, degradation, s.seed)
        calibration = {"temperature": temperature, "ece_before": before, "ece": after, "pairs": len(held)}
        told: dict[str, Any] = {
            "options": chosen,
            "degrade": degradation.text,
            "class_pixels": pixels,
            "losses": list(order.chosen),
        }
        told |= {"synthesis_sha256": synthesis.sha256 if synthesis else "", "trained_on": list(order.pairs)}
        told |= {"images_seen": trainer.images_seen, "learning": vars(s), "calibration": calibration}
        return save_restorer(order.out, averaged, classes, told)

    run(trainer, order.out, write, tell, progress)
    return order.out


def _split(pairs: Pairs) -> tuple[Pairs, Pairs]:
    """What is learned from, and every twelfth pair, which calibrates; of few pairs all do both."""
    if len(pairs) < 2 * HELD_BACK:
        return pairs, pairs
    held = list(range(HELD_BACK - 1, len(pairs), HELD_BACK))
    return ChosenPairs(pairs, sorted(set(range(len(pairs))) - set(held))), ChosenPairs(pairs, held)


def _synthesis(
    order: RestorerOrder, classes: tuple[LabelClass, ...], pairs: Pairs, device: torch.device
) -> Translation | None:
    """The frozen model that teaches; InputError where it is of other masks or pictures."""
    if order.synthesis is None:
        return None
    model = load_model(order.synthesis, device)
    check_same_classes(str(order.synthesis), model.about.classes, order.pairs[0], classes)
    if model.about.edges:
        raise InputError(f"{order.synthesis}: was trained with edges of objects; a restorer needs one without")
    channels = pairs[0].image.shape[2]
    if model.about.channels != channels:
        raise InputError(
            f"{order.synthesis}: makes pictures of {model.about.channels} channels, the pairs' have {channels}"
        )
    return model


def class_pixels(pairs: Pairs, num_classes: int, looked_at: int = 256) -> list[int]:
    """Pixels of each class in some of the pairs, evenly spread; classes from none of them are looked for in all."""
    chosen = np.linspace(0, len(pairs) - 1, min(looked_at, len(pairs))).astype(int).tolist()
    total = np.zeros(num_classes, np.int64)
    for rest in (chosen, sorted(set(range(len(pairs))) - set(chosen))):
        for index in rest:
            if rest is not chosen and total.all():
                break
            total += np.bincount(pairs[index].mask.ravel(), minlength=256)[:num_classes]
    return total.tolist()


@torch.no_grad()
def calibrate(restorer: Restorer, pairs: Pairs, degradation: Degradation, seed: int) -> tuple[float, float, float]:
    """Sets the restorer's temperature by pixels that its input leaves open; it, and the ECE before and after."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 0], counter=4 << 64))
    device = restorer.temperature.device
    restorer.eval().temperature.fill_(1.0)
    logits, truth = [], []
    for index in np.linspace(0, len(pairs) - 1, min(CALIBRATED_ON, len(pairs))).astype(int).tolist():
        pair = pairs[index]
        given = incomplete(pair, degradation, rng)
        open_to = (pair.mask != IGNORE_INDEX) & ((given == IGNORE_INDEX) | (not degradation.exact))
        places = np.flatnonzero(open_to)
        if not len(places):
            continue
        places = rng.choice(places, min(PIXELS, len(places)), replace=False)
        seen = torch.from_numpy(stacked(given, pair.image if restorer.picture_channels else None))[None].to(device)
        found = restorer(restorer.prepare(seen))[0].float().flatten(1).T.cpu().numpy()
        logits.append(found[places])
        truth.append(pair.mask.ravel()[places].astype(np.int64))
    if not truth:
        return 1.0, float("nan"), float("nan")
    z, t = np.concatenate(logits), np.concatenate(truth)
    temperature = fitted_temperature(z, t)
    restorer.temperature.fill_(temperature)
    return temperature, _ece(z, t), _ece(z / temperature, t)


def _ece(logits: np.ndarray, truth: np.ndarray) -> float:
    p = torch.from_numpy(logits).softmax(1).numpy()
    reliability = Reliability()
    reliability.add(p.max(1), p.argmax(1) == truth)
    return reliability.error
