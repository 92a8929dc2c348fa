"""The Style-Interpreter: a small ensemble of MLPs that reads labels from a generator's feature maps."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.interpreters import factored, fused, reference, training
from labelfactory.interpreters import interpreter_file as files
from labelfactory.interpreters.array_types import Float
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.folding import FoldCache, Folded
from labelfactory.interpreters.layers import MemberStack
from labelfactory.interpreters.prediction import Prediction
from labelfactory.limits import MAX_CLASSES

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
CPU_BUDGET, GPU_BUDGET = 256 * 2**20, 4 * 2**30
DIRECTIONS = 32  # of each map: docs/interpreter.md has the measurements


def default_hidden(num_classes: int) -> tuple[int, ...]:
    """DatasetGAN's widths (arXiv 2104.06490, section 4): 128 and 32; 256 and 128 for its 32 and 34 class sets."""
    return (256, 128) if num_classes >= 32 else (128, 32)


class StyleInterpreter(MemberStack):
    """N members that vote on every pixel's class (DatasetGAN, section 3.2).

    Fresh, it is untrained: call ``fit``, or ``load`` a trained one.

    feature_channels: channels of each feature map, in the generator's order.
    num_classes: 2 to 255. members: 1 to 64. hidden: widths of the hidden layers; ``()`` is a purely linear head.
    directions: of each map that members see at most (interpreters/directions.py); 16384 are always all channels.

    classes: one ``{"name": str, "color": [r, g, b]}`` per class; generator_sha256: which generator the features came
    from; report: what ``fit`` measured; extra: whatever else belongs beside the weights. All are kept in the file.
    """

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(
        self,
        feature_channels: Sequence[int],
        num_classes: int,
        members: int = 10,
        hidden: Sequence[int] | None = None,
        directions: int = DIRECTIONS,
    ):
        hidden = default_hidden(num_classes) if hidden is None else tuple(hidden)
        check_architecture(feature_channels, num_classes, members, hidden, directions)
        channels = sum(feature_channels)
        super().__init__(members, (sum(min(c, directions) for c in feature_channels), *hidden, num_classes))
        self.feature_channels, self.directions = tuple(feature_channels), directions
        self.num_classes, self.members, self.hidden = num_classes, members, hidden
        # StyleGAN2's maps differ in scale by layer, up to a hundredfold: without standardisation the loudest layers
        # would drown the others, and one learning rate could not suit all. Measured once, on the training pixels.
        self.register_buffer("feature_mean", torch.zeros(channels))
        self.register_buffer("feature_std", torch.ones(channels))
        for k, c in enumerate(feature_channels):
            if c > directions:
                self.register_buffer(f"basis{k}", torch.eye(c, directions))
        self.classes: list[dict[str, Any]] = []
        self.generator_sha256 = ""
        self.report: dict[str, Any] = {}
        self.extra: dict[str, Any] = {}
        self._fold = FoldCache()
        if not self.feature_mean.is_meta:
            self.reset(torch.Generator().manual_seed(0))
        self.requires_grad_(False).eval()

    @property
    def bases(self) -> list[Tensor | None]:
        """For each map the directions that members see, [channels, directions]; None where they see all channels."""
        return [self._buffers.get(f"basis{k}") for k in range(len(self.feature_channels))]

    def inputs(self, x: Float[Tensor, "pixels channels"]) -> Float[Tensor, "pixels inputs"]:
        """What members see of raw feature vectors: each channel standardised, each map in its directions."""
        x = (x - self.feature_mean.to(x.device)) / self.feature_std.to(x.device)
        parts = zip(x.split(self.feature_channels, 1), self.bases, strict=True)
        return torch.cat([part if basis is None else part @ basis.to(x.device) for part, basis in parts], 1)

    def set_inputs(self, mean: Tensor, std: Tensor, bases: Sequence[Tensor | None]) -> None:
        """How ``inputs`` are made from now on."""
        named = {f"basis{k}": basis for k, basis in enumerate(bases) if basis is not None}
        self.load_state_dict({"feature_mean": mean, "feature_std": std, **named}, strict=False)

    def fit(
        self,
        samples: Iterable[tuple[Sequence[Tensor], Tensor]],
        ignore_index: int = 255,
        seed: int = 0,
        progress: bool = True,
        recipe: "training.Recipe | None" = None,
        pictures: Sequence[int] | None = None,
    ) -> dict[str, Any]:
        """Train on a few labelled images; returns the report, which is also kept in the file (but for times).

        samples: for each labelled image its feature maps ([C, H, W] or [1, C, H, W] each) and its mask of the largest
        map's size, with class ids and ``ignore_index`` where nothing was labelled. Read once, one image at a time, so a
        generator expression that makes the maps on the way is fine. The same samples and seed give the same weights.
        pictures: of which picture each sample is a view; views of one are held out together (None: each is its own).
        Raises InputError where samples do not fit this interpreter, or fewer than two classes are labelled.
        """
        report = training.fit(self, samples, ignore_index, seed, progress, recipe or training.Recipe(), pictures)
        self.report = {key: value for key, value in report.items() if key != "seconds"}  # equal runs, equal files
        return report

    def predict(
        self,
        feature_maps: Sequence[Float[Tensor, "batch _ _ _"]],
        precision: str = "auto",
        budget: int | None = None,
        crop: Crop | None = None,
    ) -> Prediction:
        """Labels and uncertainty of a batch; masks have the size of the largest map, or of ``crop``.

        The same answer as ``predict_reference`` up to rounding, at a fraction of its time and memory. All cores that
        ``torch.set_num_threads`` allows are used.

        precision: of the products, "float32", "bfloat16" or "float16" (docs/interpreter.md says what each costs and
        changes); "auto" is float32 on the CPU and float16 on a GPU.
        budget: working memory in bytes, beside inputs, outputs and the weights; 256 MiB on the CPU and 4 GiB on a GPU.
        crop: label these pixels of the largest map alone; the score is theirs.
        Raises InputError where the maps do not fit this interpreter, or the crop not the maps.
        """
        size = self.output_size(feature_maps)
        if crop is not None:
            crop.check(*size)
        device = feature_maps[0].device
        on_cpu = device.type == "cpu"
        if precision != "auto" and precision not in PRECISIONS:
            raise InputError(f"precision {precision!r}: expected auto, {', '.join(PRECISIONS)}")
        dtype = PRECISIONS[("float32" if on_cpu else "float16") if precision == "auto" else precision]
        path = fused if fused.available(self, device) else factored
        prediction = path.predict(self, feature_maps, dtype, budget or (CPU_BUDGET if on_cpu else GPU_BUDGET), crop)
        # looking at a GPU's answer would make the host wait for it; there the caller sees NaN scores
        if on_cpu and not bool(prediction.score.isfinite().all()):
            limit = "" if dtype == torch.float32 else f" or beyond {precision}'s range: use precision float32"
            raise InputError(f"labels are not finite: the feature maps are not{limit}")
        return prediction

    def folded(self, dtype: torch.dtype, device: torch.device) -> Folded:
        """The weights as inference uses them; folded anew where they have changed."""
        return self._fold(self, dtype, device)

    def predict_reference(
        self, feature_maps: Sequence[Float[Tensor, "batch _ _ _"]], crop: Crop | None = None
    ) -> Prediction:
        """The plain definition (interpreters/reference.py): slow, but obvious."""
        return reference.predict(self, feature_maps, crop)

    def output_size(self, feature_maps: Sequence[Tensor]) -> tuple[int, int]:
        """(height, width) of the largest map. InputError where the maps do not fit this interpreter."""
        for f in feature_maps:
            if f.ndim != 4 or not f.is_floating_point():
                raise InputError(
                    f"a feature map is {str(f.dtype).removeprefix('torch.')} of shape {tuple(f.shape)}; "
                    "expected floating point [batch, channels, height, width]"
                )
        channels = tuple(f.shape[1] for f in feature_maps)
        if channels != self.feature_channels:
            raise InputError(
                f"feature maps have {_brief(channels)} channels, this interpreter was made for "
                f"{_brief(self.feature_channels)}: use the generator that it was trained with"
            )
        if len({len(f) for f in feature_maps}) != 1 or len(feature_maps[0]) == 0:
            raise InputError(f"feature maps have batch sizes {[len(f) for f in feature_maps]}; expected one, 1 or more")
        if any(0 in f.shape for f in feature_maps):
            raise InputError("a feature map is empty; expected a height and width of 1 or more")
        return max(f.shape[2] for f in feature_maps), max(f.shape[3] for f in feature_maps)

    def to_bytes(self) -> bytes:
        """The file's content: equal weights and metadata give equal bytes."""
        return files.to_bytes(self)

    @property
    def sha256(self) -> str:
        """Hash of the file that ``save`` writes."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def save(self, path: str | Path) -> str:
        """Write one safetensors file, whole or not at all; returns its sha256."""
        return files.save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> "StyleInterpreter":
        """Read a file that ``save`` wrote; nothing in it is executed. InputError for anything else."""
        return files.load(Path(path))


def check_architecture(
    feature_channels: Sequence[int], num_classes: int, members: int, hidden: Sequence[int], directions: int
) -> None:
    """InputError unless these numbers describe an interpreter."""
    if not 1 <= len(feature_channels) <= 64 or any(not 1 <= c <= 16384 for c in feature_channels):
        raise InputError(
            f"feature channels {_brief(feature_channels)}: expected 1 to 64 maps with 1 to 16384 channels each"
        )
    if not 2 <= num_classes <= MAX_CLASSES:
        raise InputError(f"{num_classes} classes: expected 2 to {MAX_CLASSES}")
    if not 1 <= members <= 64:
        raise InputError(f"{members} members: expected 1 to 64")
    if not 1 <= directions <= 16384:
        raise InputError(f"{directions} directions of each map: expected 1 to 16384")
    if len(hidden) > 4 or any(not 1 <= width <= 4096 for width in hidden):
        raise InputError(f"hidden widths {_brief(hidden)}: expected at most 4 layers of 1 to 4096 units")


def _brief(numbers: Sequence[int]) -> str:
    text = "[" + ", ".join(map(str, numbers[:24]))
    return text + (f", … {len(numbers)} in all]" if len(numbers) > 24 else "]")
