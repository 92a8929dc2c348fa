"""The Style-Interpreter: a small ensemble of MLPs that reads labels from a generator's feature maps."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.interpreters import factored, fused, reference, training
from labelfactory.interpreters.array_types import Float
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.ensemble import ALL_CHANNELS, Ensemble, expect
from labelfactory.interpreters.prediction import Prediction
from labelfactory.limits import MAX_CLASSES
from labelfactory.tensor_file import TensorFile

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
CPU_BUDGET, GPU_BUDGET = 256 * 2**20, 4 * 2**30
DIRECTIONS = 32  # of each map: docs/interpreter.md has the measurements
HALF = "linears.0.weight"  # nine tenths of the file; fit rounds it to float16, so half the bytes lose nothing
FORMAT = "labelfactory-interpreter"
FILE = TensorFile(
    FORMAT,
    "interpreter",
    "train it again with `factory train-interpreter`, or fetch it again",
    2**30,  # the widest sensible one (64 members on 5,568 channels) has a tenth of that
)


def default_hidden(num_classes: int) -> tuple[int, ...]:
    """DatasetGAN's widths (arXiv 2104.06490, section 4): 128 and 32; 256 and 128 for its 32 and 34 class sets."""
    return (256, 128) if num_classes >= 32 else (128, 32)


class StyleInterpreter(Ensemble):
    """N members that vote on every pixel's class (DatasetGAN, section 3.2).

    Fresh, it is untrained: call ``fit``, or ``load`` a trained one.

    feature_channels: channels of each feature map, in the generator's order.
    num_classes: 2 to 255. members: 1 to 64. hidden: widths of the hidden layers; ``()`` is a purely linear head.
    directions: of each map that members see at most (interpreters/directions.py); 16384 are always all channels.

    classes: one ``{"name": str, "color": [r, g, b]}`` per class, kept in the file like all that an ``Ensemble`` has.
    """

    file: ClassVar[TensorFile] = FILE
    version: ClassVar[int] = 2

    def __init__(
        self,
        feature_channels: Sequence[int],
        num_classes: int,
        members: int = 10,
        hidden: Sequence[int] | None = None,
        directions: int = DIRECTIONS,
    ):
        if not 2 <= num_classes <= MAX_CLASSES:
            raise InputError(f"{num_classes} classes: expected 2 to {MAX_CLASSES}")
        hidden = default_hidden(num_classes) if hidden is None else hidden
        super().__init__(feature_channels, num_classes, members, hidden, directions)
        self.num_classes = num_classes
        self.classes: list[dict[str, Any]] = []

    def fit(
        self,
        samples: Iterable[tuple[Sequence[Tensor], Tensor]],
        ignore_index: int = 255,
        seed: int = 0,
        progress: bool = True,
        recipe: "training.Recipe | None" = None,
        groups: Sequence[int] | None = None,
        pictures: Sequence[int] | None = None,
    ) -> dict[str, Any]:
        """Train on a few labelled images; returns the report, which is also kept in the file (but for times).

        samples: for each labelled image its feature maps ([C, H, W] or [1, C, H, W] each) and its mask of the largest
        map's size, with class ids and ``ignore_index`` where nothing was labelled. Read once, one image at a time, so a
        generator expression that makes the maps on the way is fine. The same samples and seed give the same weights.
        groups: number of each sample's group, such as the views of one picture, which are held out together (None: each
        is its own). ``pictures`` is the older name of it.
        Raises InputError where samples do not fit this interpreter, or fewer than two classes are labelled.
        """
        groups = pictures if groups is None else groups
        report = training.fit(self, samples, ignore_index, seed, progress, recipe or training.Recipe(), groups)
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

    def predict_reference(
        self, feature_maps: Sequence[Float[Tensor, "batch _ _ _"]], crop: Crop | None = None
    ) -> Prediction:
        """The plain definition (interpreters/reference.py): slow, but obvious."""
        return reference.predict(self, feature_maps, crop)

    def about(self) -> dict[str, Any]:
        own = {"num_classes": self.num_classes, "directions": self.directions, "classes": self.classes}
        return {"format": FORMAT} | own

    def stored_tensors(self) -> dict[str, Tensor]:
        tensors = self.state_dict()
        first = tensors[HALF].half()
        return tensors | ({HALF: first} if torch.equal(first.float(), tensors[HALF]) else {})

    @classmethod
    def built(cls, header: dict[str, Any]) -> "StyleInterpreter":
        if header.get("version") == 1:  # knew no directions
            header |= {"version": cls.version, "directions": ALL_CHANNELS}
        if header.get("version") != cls.version:
            raise InputError(f"format {header.get('version')!r}, this program reads {cls.version}")
        classes, shape = header["classes"], (header["num_classes"], header["members"])
        expect(type(shape[0]) is int and type(header["directions"]) is int and isinstance(classes, list))
        model = cls(header["feature_channels"], *shape, header["hidden"], header["directions"])
        expect(len(classes) in (0, model.num_classes))
        model.classes = classes
        return model
