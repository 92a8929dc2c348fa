"""What interpreters and regressors are: an ensemble of small MLPs on the generator's feature maps, and its file."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Float
from labelfactory.interpreters.layers import MemberStack
from labelfactory.tensor_file import TensorFile

Own = TypeVar("Own", bound="Ensemble")

ALL_CHANNELS = 16384  # directions of each map that are always all of its channels


class Ensemble(MemberStack):
    """``members`` MLPs that see every pixel's feature vector, each channel standardised, each map in few directions.

    feature_channels  channels of each feature map, in the generator's order
    members, hidden   number of MLPs; widths of their hidden layers
    outputs           numbers that each gives for a pixel
    directions        of each map that members see at most (interpreters/directions.py)
    generator_sha256  of the generator that the features come from
    report, extra     what ``fit`` measured; whatever else belongs beside the weights. All of this is kept in the file.
    """

    file: ClassVar[TensorFile]
    version: ClassVar[int]

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(
        self,
        feature_channels: Sequence[int],
        outputs: int,
        members: int,
        hidden: Sequence[int],
        directions: int = ALL_CHANNELS,
    ):
        check_architecture(feature_channels, members, hidden, directions)
        channels = sum(feature_channels)
        super().__init__(members, (sum(min(c, directions) for c in feature_channels), *hidden, outputs))
        self.feature_channels, self.directions = tuple(feature_channels), directions
        self.outputs, self.members, self.hidden = outputs, members, tuple(hidden)
        # StyleGAN2's maps differ in scale by layer, up to a hundredfold: without standardisation the loudest layers
        # would drown the others, and one learning rate could not suit all. Measured once, on the training pixels.
        self.register_buffer("feature_mean", torch.zeros(channels))
        self.register_buffer("feature_std", torch.ones(channels))
        for k, c in enumerate(feature_channels):
            if c > directions:
                self.register_buffer(f"basis{k}", torch.eye(c, directions))
        self.generator_sha256 = ""
        self.report: dict[str, Any] = {}
        self.extra: dict[str, Any] = {}
        self.folds: dict[Any, Any] = {}  # of interpreters/folding.py
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

    def output_size(self, feature_maps: Sequence[Tensor]) -> tuple[int, int]:
        """(height, width) of the largest map. InputError where the maps do not fit this ensemble."""
        for f in feature_maps:
            if f.ndim != 4 or not f.is_floating_point():
                raise InputError(
                    f"a feature map is {str(f.dtype).removeprefix('torch.')} of shape {tuple(f.shape)}; "
                    "expected floating point [batch, channels, height, width]"
                )
        channels = tuple(f.shape[1] for f in feature_maps)
        if channels != self.feature_channels:
            raise InputError(
                f"feature maps have {brief(channels)} channels, this {self.file.what} was made for "
                f"{brief(self.feature_channels)}: use the generator that it was trained with"
            )
        if len({len(f) for f in feature_maps}) != 1 or len(feature_maps[0]) == 0:
            raise InputError(f"feature maps have batch sizes {[len(f) for f in feature_maps]}; expected one, 1 or more")
        if any(0 in f.shape for f in feature_maps):
            raise InputError("a feature map is empty; expected a height and width of 1 or more")
        return max(f.shape[2] for f in feature_maps), max(f.shape[3] for f in feature_maps)

    def about(self) -> dict[str, Any]:
        """What the file's header says of one kind of ensembles alone."""
        raise NotImplementedError

    @classmethod
    def built(cls: type[Own], header: dict[str, Any]) -> Own:
        """An ensemble without weights as the header describes it. KeyError, TypeError, InputError for a damaged one."""
        raise NotImplementedError

    def to_bytes(self) -> bytes:
        """The file's content: equal weights and metadata give equal bytes."""
        common = ("feature_channels", "members", "hidden", "generator_sha256", "report", "extra")
        header = {name: getattr(self, name) for name in common}
        return self.file.pack(self.stored_tensors(), {"version": self.version} | header | self.about())

    def stored_tensors(self) -> dict[str, Tensor]:
        """The weights as the file has them."""
        return self.state_dict()

    @property
    def sha256(self) -> str:
        """Hash of the file that ``save`` writes."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def save(self, path: str | Path) -> str:
        """Write one safetensors file, whole or not at all; returns its sha256."""
        return self.file.save(path, self.to_bytes())

    @classmethod
    def load(cls: type[Own], path: str | Path) -> Own:
        """Read a file that ``save`` wrote; nothing in it is executed. InputError for anything else."""
        return cls.from_bytes(cls.file.read(path), str(path))

    @classmethod
    def from_bytes(cls: type[Own], content: bytes, where: str) -> Own:
        """The ensemble in a file's bytes; ``where`` begins the message where they hold none."""
        header, tensors = cls.file.unpack(content, where)
        try:
            numbers = [*header["feature_channels"], header["members"], *header["hidden"]]
            expect(all(type(n) is int for n in numbers))
            expect(isinstance(header["generator_sha256"], str) and isinstance(header["report"], dict))
            expect(isinstance(header.setdefault("extra", {}), dict))  # the first regressors had none
            with torch.device("meta"):  # nothing is allocated before the file's own shapes agree
                model = cls.built(header)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where}: its header is damaged ({error}); {cls.file.remedy}") from None
        cls.file.fill(model, tensors, where)
        model.generator_sha256 = header["generator_sha256"]
        model.report, model.extra = header["report"], header["extra"]
        return model.requires_grad_(False).eval()


def check_architecture(
    feature_channels: Sequence[int], members: int, hidden: Sequence[int], directions: int = ALL_CHANNELS
) -> None:
    """InputError unless these numbers describe an ensemble."""
    if not 1 <= len(feature_channels) <= 64 or any(not 1 <= c <= 16384 for c in feature_channels):
        raise InputError(
            f"feature channels {brief(feature_channels)}: expected 1 to 64 maps with 1 to 16384 channels each"
        )
    if not 1 <= members <= 64:
        raise InputError(f"{members} members: expected 1 to 64")
    if not 1 <= directions <= ALL_CHANNELS:
        raise InputError(f"{directions} directions of each map: expected 1 to {ALL_CHANNELS}")
    if len(hidden) > 4 or any(not 1 <= width <= 4096 for width in hidden):
        raise InputError(f"hidden widths {brief(hidden)}: expected at most 4 layers of 1 to 4096 units")


def expect(condition: bool) -> None:
    """For the parts of a header."""
    if not condition:
        raise InputError("a field has an unexpected type")


def brief(numbers: Sequence[int]) -> str:
    text = "[" + ", ".join(map(str, numbers[:24]))
    return text + (f", … {len(numbers)} in all]" if len(numbers) > 24 else "]")
