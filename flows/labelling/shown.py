"""What is known of a label set that is being labelled, and how the page is told: plain values, and layers as bytes."""

import json
import math
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from labelfactory.errors import InputError
from labelfactory.factory.labels.proposer import FreshSample, Progress, Proposal, nothing_proposed
from labelfactory.factory.labels.session import LabelSession
from labelfactory.factory.labels.stopping import StopSignal, Stroke, stop_signal


@dataclass
class Known:
    """proposals: by sample; gallery: by place; strokes: how the proposals before them fared; trouble: for a person.

    changes: share of the proposed pixels that each ten strokes changed.
    """

    session: LabelSession
    generator: str
    device: str = "auto"
    proposals: dict[int, Proposal] = field(default_factory=dict)
    progress: list[Progress] = field(default_factory=list)
    strokes: list[Stroke] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)
    gallery: dict[int, FreshSample] = field(default_factory=dict)
    trouble: str = ""

    def state(self, editor: bool = True) -> dict[str, Any]:
        """The label set as the page shows it."""
        labels, latest = self.session.labels, self.progress[-1] if self.progress else None
        return {
            "name": self.session.folder.name,
            "classes": [
                {"id": i, "name": c.name, "color": list(c.color), "thing": c.is_thing}
                for i, c in enumerate(labels.classes)
            ],
            "size": list(self.session.size),
            "channels": int(labels.samples[0].image.shape[2]),
            "truncation": labels.truncation,
            "keypoints": list(labels.keypoints),
            "samples": [self.sample(i) for i in range(len(labels))],
            "next": self.next_sample(),
            "revision": self.session.log.revision,
            "model": None if latest is None else self.model(latest),
            "editor": editor,
            "command": self.command(),
            "note": self.session.note or self.trouble,
        }

    def sample(self, index: int) -> dict[str, Any]:
        history, proposal = self.session.histories[self.session.names[index]], self.proposals.get(index)
        return {
            "index": index,
            "name": self.session.names[index],
            "state": history.state,
            "strokes": history.strokes,
            "uncertainty": None if proposal is None else proposal.score,
            "fidelity": self.session.fidelities.get(self.session.names[index]),
        }

    @staticmethod
    def model(progress: Progress) -> dict[str, Any]:
        return {"revision": progress.revision, "pixels": progress.pixels, "loss": _number(progress.loss)}

    def next_sample(self) -> int:
        """Where to look next: of the samples that are not finished the one whose proposal is least sure."""
        open_ = [i for i, n in enumerate(self.session.names) if self.session.histories[n].state != "done"]
        scored = [i for i in open_ if i in self.proposals]
        if scored:
            return max(scored, key=lambda i: self.proposals[i].score)
        return open_[0] if open_ else 0

    def command(self) -> str:
        """What generates pairs from this label set."""
        folder = self.session.folder
        return f"factory generate --generator {self.generator} --labels {folder} --count 10000 --out {folder.name}.zarr"

    def layers(self, index: int) -> bytes:
        """A sample's labels and proposal: a JSON header's length (4 bytes, little-endian), the header, the arrays."""
        canvas, proposal = self.session.canvas(self.name(index)), self.proposals.get(index)
        height, width = self.session.size
        arrays: dict[str, np.ndarray] = {"mask": canvas.mask, "instance": canvas.instance.astype("<u2")}
        arrays["proposal"] = nothing_proposed(height, width) if proposal is None else proposal.mask
        arrays["uncertainty"] = np.zeros_like(canvas.mask) if proposal is None else proposal.uncertainty
        offset, entries = 0, []
        for name, array in arrays.items():
            entries.append({"name": name, "dtype": str(array.dtype), "offset": offset, "length": array.nbytes})
            offset += array.nbytes
        points = [{"name": n, "x": x, "y": y, "visible": v} for n, (x, y, v) in canvas.keypoints.items()]
        header = {
            "height": height, "width": width, "revision": self.session.log.revision,
            "model_revision": 0 if proposal is None else proposal.revision, "keypoints": points, "arrays": entries,
        }  # fmt: skip
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)  # arrays begin where a typed array may
        return struct.pack("<I", len(text)) + b"\0" * 4 + text + b"".join(a.tobytes() for a in arrays.values())

    def name(self, index: Any) -> str:
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(self.session.names):
            raise InputError(f"sample {str(index)[:20]}: expected 0 to {len(self.session.names) - 1}")
        return self.session.names[index]

    def curve(self) -> dict[str, Any]:
        """How well proposals agreed with what was drawn next, and whether more strokes would change much."""
        signal: StopSignal = stop_signal(self.changes)
        points = [{"stroke": i + 1, "agreement": s.agreement, "pixels": s.pixels} for i, s in enumerate(self.strokes)]
        losses = [{"revision": p.revision, "loss": _number(p.loss)} for p in self.progress[-200:]]
        return {"points": points, "losses": losses, "stop": {k: _number(v) for k, v in vars(signal).items()}}

    def shown_gallery(self) -> dict[str, Any]:
        """The data set to come, as far as it has been made."""
        fresh = [self.gallery[k] for k in sorted(self.gallery)]
        classes = len(self.session.labels.classes)
        counts = sum((np.bincount(f.mask.ravel(), minlength=256)[:classes] for f in fresh), np.zeros(classes))
        return {
            "samples": [
                {"place": f.place, "seed": str(f.seed), "revision": f.revision, "score": f.score} for f in fresh
            ],
            "class_shares": (counts / max(1, counts.sum())).tolist(),
            "mean_uncertainty": float(np.mean([f.score for f in fresh])) if fresh else None,
        }


def _number(value: float) -> float | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value
