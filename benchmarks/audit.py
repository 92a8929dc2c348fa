"""Does an audit find planted label errors?

    LABELFACTORY_DATA=... python benchmarks/audit.py --out runs/audit                    # real crops, human masks
    python benchmarks/audit.py --pairs pairs.zarr --out runs/audit                       # a store

In half a per cent of the pairs the label is made wrong, in five ways: missed (an object becomes background), shifted
(by four pixels), merged (a neighbour becomes part of the nucleus), swapped (two classes change places), noise (a tenth
of the pixels are of other classes). Two judges learn from one half each and judge the other. Printed: the share of the
planted errors among the one per cent that somebody looks at, for our score and for cleanlab's soft minimum of the same
judges' probabilities (Lad and Mueller, arXiv 2307.05080; temperature 0.1).
"""

import argparse
import json
import resource
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from nuclei import load_nuclei
from scipy import ndimage

from labelfactory.factory.audit.auditing import judged
from labelfactory.factory.audit.order import AuditOrder
from labelfactory.factory.audit.surprise import suspicion
from labelfactory.factory.pairs.opening import open_source
from labelfactory.factory.pairs.pairs import ArrayPairs, Pair, Pairs

KINDS = ("missed", "shifted", "merged", "swapped", "noise")
PLANTED, LOOKED_AT = 0.005, 0.01
TEMPERATURE = 0.1


def wrong(mask: np.ndarray, kind: str, classes: int, rng: np.random.Generator) -> np.ndarray | None:
    """The mask with an error of a kind; None where it cannot have it, or hardly changes (under 20 pixels)."""
    made = mask.copy()
    if kind == "missed":
        parts, count = ndimage.label(mask > 0)
        if not count:
            return None
        made[parts == 1 + rng.integers(count)] = 0
    elif kind == "shifted":
        angle = rng.uniform(0, 2 * np.pi)
        made = np.roll(mask, (round(4 * np.sin(angle)), round(4 * np.cos(angle))), (0, 1))
    elif kind == "merged":
        touching = ndimage.binary_dilation(mask == 1, iterations=3)
        parts, count = ndimage.label(mask == 2)
        near = [n for n in range(1, count + 1) if (touching & (parts == n)).any()]
        if not near:
            return None
        made[parts == rng.choice(near)] = 1
    elif kind == "swapped":
        present = np.unique(mask)
        if len(present) < 2:
            return None
        a, b = rng.choice(present, 2, replace=False)
        made = np.where(mask == a, b, np.where(mask == b, a, mask)).astype(np.uint8)
    else:
        spots = rng.random(mask.shape) < 0.1
        made = np.where(spots, (mask + rng.integers(1, classes, mask.shape)) % classes, mask).astype(np.uint8)
    return made if (made != mask).sum() >= 20 else None


class Planted(Pairs):
    """Pairs of which some have a wrong label; ``kinds`` says which, by number."""

    def __init__(self, pairs: Pairs, classes: int, seed: int = 0) -> None:
        self.pairs, self.masks = pairs, {}
        self.kinds: dict[int, str] = {}
        rng = np.random.default_rng(seed)
        wanted = round(PLANTED * len(pairs))
        for number in rng.permutation(len(pairs)).tolist():
            if len(self.kinds) == wanted:
                break
            kind = KINDS[len(self.kinds) % len(KINDS)]
            made = wrong(pairs[number].mask, kind, classes, rng)
            if made is not None:
                self.kinds[number], self.masks[number] = kind, made

    def __len__(self) -> int:
        return len(self.pairs)

    def fetch(self, indices: Sequence[int]) -> list[Pair]:
        found = self.pairs.fetch(indices)
        return [Pair(pair.image, self.masks.get(int(i), pair.mask)) for i, pair in zip(indices, found, strict=True)]


def softmin(p: torch.Tensor, mask: torch.Tensor) -> float:
    """cleanlab's label quality of a picture, 0 to 1: the soft minimum of its labels' probabilities."""
    given = p.gather(0, mask[None])[0].flatten().double()
    return float((given * torch.softmax((1 - given) / TEMPERATURE, 0)).sum())


def found(scores: np.ndarray, kinds: dict[int, str]) -> dict[str, float]:
    """Share of each kind among the pairs that somebody looks at, and of all."""
    seen = set(np.argsort(-scores, kind="stable")[: round(LOOKED_AT * len(scores))].tolist())
    shares = {k: [n in seen for n, kind in kinds.items() if kind == k] for k in KINDS}
    return {k: float(np.mean(v)) for k, v in shares.items() if v} | {"all": float(np.mean([n in seen for n in kinds]))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", help="store, or folder with images/ and masks/ [default: the real crops]")
    parser.add_argument("--out", type=Path, default=Path("runs/audit"))
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.pairs is None:
        images, masks, _, _ = load_nuclei("train")
        pairs, classes = ArrayPairs(images, masks), 3
    else:
        pairs, named = open_source(options.pairs, keep=False)
        classes = len(named)
    planted = Planted(pairs, classes)
    order = AuditOrder("planted", options.out, steps=options.steps)
    ours, theirs = np.zeros(len(pairs)), np.zeros(len(pairs))
    started = time.perf_counter()
    for number, pair, p in judged(order, planted, classes):
        mask = torch.from_numpy(pair.mask.astype(np.int64))
        ours[number] = float(suspicion(p[None], mask[None]).score[0])
        theirs[number] = -softmin(p, mask)
    seconds = time.perf_counter() - started
    result = {"ours": found(ours, planted.kinds), "softmin": found(theirs, planted.kinds)}
    print(
        f"{len(pairs):,} pairs, {len(planted.kinds)} planted errors, {seconds:.0f} s with {options.threads} threads, "
        f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB"
    )
    print("| found at one per cent | " + " | ".join((*KINDS, "all")) + " |")
    print("|---|" + "---:|" * (len(KINDS) + 1))
    for name, shares in result.items():
        print(f"| {name} | " + " | ".join(f"{100 * shares.get(k, float('nan')):.0f} %" for k in (*KINDS, "all")) + " |")
    (options.out / "result.json").write_text(json.dumps(result))
    np.savez(options.out / "scores.npz", ours=ours, softmin=theirs, numbers=list(planted.kinds))


if __name__ == "__main__":
    main()
