"""StyleGAN's weights as its official TensorFlow pickles and rosinality's PyTorch name them, to our names.

Names and scales of the second are looked up in rosinality's repository (MIT). What both have in common: a weight w of
the equalised learning rate (arXiv 1710.10196, section 4.1) is multiplied by gain / sqrt(fan-in) first.
"""

import math
import re
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.stylegan1.networks import Config

LEARNING_RATE = 0.01  # of the mapping network, relative to the others (appendix C)
FUSED = 128  # pixels from which on TensorFlow's program scales up by a transposed convolution, which turns its kernel
GAIN = math.sqrt(2)  # before a leaky rectifier
PLACES = {"conv1": 0, "conv2": 1}


class Found(NamedTuple):
    """Tensors by our names, and the arithmetic."""

    tensors: dict[str, Tensor]
    config: Config


def is_tensorflow(names: frozenset[str]) -> bool:
    return {"synthesis/4x4/Const/const", "synthesis/4x4/Const/StyleMod/weight", "mapping/Dense0/weight"} <= names


def is_rosinality(names: frozenset[str]) -> bool:
    return {"generator.progression.0.conv1.input", "style.1.linear.weight_orig"} <= names


def from_tensorflow(tensors: dict[str, Tensor], mapping_lr: float = LEARNING_RATE) -> Found:
    """Gs or G: kernels as rows, columns, in, out. InputError names what no such network has."""
    out: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if found := re.fullmatch(r"mapping/Dense(\d+)/(weight|bias)", name):
            place = f"mapping.fc{found[1]}.{found[2]}"
            out[place] = mapping_lr * (value if found[2] == "bias" else _dense(name, value, GAIN))
        elif name == "mapping/LabelConcat/weight":
            out["mapping.embed"] = value
        elif name == "dlatent_avg":
            out["mapping.w_avg"] = value
        elif found := re.fullmatch(r"synthesis/noise(\d+)", name):
            index = int(found[1])
            out[f"synthesis.b{4 << index // 2}_{index % 2}.noise_const"] = _axes(name, value, 4)[0, 0]
        elif name == "synthesis/4x4/Const/const":
            out["synthesis.const"] = _axes(name, value, 4)[0]
        elif found := re.fullmatch(r"synthesis/(\d+)x\d+/(Const|Conv|Conv0_up|Conv1)/(.+)", name):
            place = f"synthesis.b{found[1]}_{0 if found[2] in ('Const', 'Conv0_up') else 1}"
            _tensorflow_layer(out, name, place, found[3], value, found[2] == "Conv0_up" and int(found[1]) >= FUSED)
        elif found := re.fullmatch(r"synthesis/ToRGB_lod0/(weight|bias)", name):
            out[f"synthesis.torgb.{found[1]}"] = value if found[1] == "bias" else _kernel(name, value, 1.0)
        elif not name.endswith("lod") and not re.fullmatch(r"synthesis/ToRGB_lod\d+/(weight|bias)", name):
            raise InputError(f"checkpoint's generator holds {name}, which no StyleGAN of TensorFlow has")
    return Found(out, _config(out, epsilon=1e-8))


def _tensorflow_layer(out: dict[str, Tensor], name: str, place: str, part: str, value: Tensor, turned: bool) -> None:
    if part == "weight":
        kernel = _kernel(name, value, GAIN)
        out[f"{place}.weight"] = kernel.flip(2, 3) if turned else kernel
    elif part == "bias":
        out[f"{place}.bias"] = value
    elif part == "Noise/weight":
        out[f"{place}.noise"] = value
    elif part == "StyleMod/weight":
        out[f"{place}.style.weight"] = _dense(name, value, 1.0)
    elif part == "StyleMod/bias":  # theirs is added to a scale of 1
        out[f"{place}.style.bias"] = value + (torch.arange(len(value)) < len(value) // 2)
    else:
        raise InputError(f"checkpoint's generator holds {name}, which no StyleGAN of TensorFlow has")


def from_rosinality(tensors: dict[str, Tensor], resolution: int | None = None) -> Found:
    """``StyledGenerator``: its g_running, of all resolutions up to 1024 px whichever it was trained to.

    ``resolution``: None for the highest whose picture was trained: those above still have a bias of zeros.
    """
    if "generator.progression.1.conv1.conv.weight_orig" in tensors:
        raise InputError("checkpoint is of an early version of rosinality's StyleGAN, whose arithmetic is another")
    levels = sorted(int(f[1]) for n in tensors if (f := re.fullmatch(r"generator\.to_rgb\.(\d+)\.conv\.bias", n)))
    trained = [i for i in levels if bool(tensors[f"generator.to_rgb.{i}.conv.bias"].any())]
    top = max(trained or levels, default=0) if resolution is None else resolution.bit_length() - 3
    if top not in levels:
        raise InputError(f"checkpoint has resolutions up to {4 << max(levels, default=0)} px, not {resolution}")
    out: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if found := re.fullmatch(r"style\.(\d+)\.linear\.(weight_orig|bias)", name):
            place = f"mapping.fc{(int(found[1]) - 1) // 2}"
            out[f"{place}.{found[2].removesuffix('_orig')}"] = value if found[2] == "bias" else _scaled(value)
        elif found := re.fullmatch(r"generator\.progression\.(\d+)\.(.+)", name):
            if int(found[1]) <= top:
                _rosinality_layer(out, name, f"synthesis.b{4 << int(found[1])}", found[2], value)
        elif found := re.fullmatch(r"generator\.to_rgb\.(\d+)\.conv\.(weight_orig|bias)", name):
            if int(found[1]) == top:
                part = found[2].removesuffix("_orig")
                out[f"synthesis.torgb.{part}"] = value if part == "bias" else _scaled(value)
        else:
            raise InputError(f"checkpoint's generator holds {name}, which no StyleGAN of rosinality's has")
    for k in range(2 * (top + 1)):
        side = 4 << k // 2
        draw = np.random.Generator(np.random.Philox(key=np.array([k, 4], np.uint64)))
        noise = torch.from_numpy(draw.standard_normal((side, side), dtype=np.float32))
        out[f"synthesis.b{side}_{k % 2}.noise_const"] = noise  # theirs is drawn for each picture
        out.setdefault(f"synthesis.b{side}_{k % 2}.bias", torch.zeros(len(out.get(f"synthesis.b{side}_1.bias", ()))))
    return Found(out, _config(out, epsilon=1e-5, bias_before_blur=True))


def _rosinality_layer(out: dict[str, Tensor], name: str, block: str, part: str, value: Tensor) -> None:
    if found := re.fullmatch(r"(conv1|conv2)\.(?:1\.)?conv\.(weight_orig|bias)", part):
        place = f"{block}_{PLACES[found[1]]}"
        out[f"{place}.{found[2].removesuffix('_orig')}"] = value if found[2] == "bias" else _scaled(value)
    elif part == "conv1.0.weight":  # in, out: a transposed convolution, of a quarter of the nearest neighbours' sum
        kernel = _axes(name, value, 4)
        gain = GAIN / math.sqrt(kernel.shape[0] * kernel.shape[2] * kernel.shape[3])
        out[f"{block}_0.weight"] = (kernel * gain / 4).transpose(0, 1).flip(2, 3).contiguous()
    elif part == "conv1.0.bias":
        out[f"{block}_0.bias"] = value
    elif part == "conv1.input":
        out["synthesis.const"] = _axes(name, value, 4)[0]
    elif found := re.fullmatch(r"noise([12])\.weight_orig", part):
        out[f"{block}_{int(found[1]) - 1}.noise"] = _scaled(value).flatten()
    elif found := re.fullmatch(r"adain([12])\.style\.linear\.(weight_orig|bias)", part):
        place = f"{block}_{int(found[1]) - 1}.style.{found[2].removesuffix('_orig')}"
        out[place] = value if found[2] == "bias" else _scaled(value)
    elif not re.fullmatch(r"conv1\.\d\.weight(_flip)?", part):  # the blur, which is always the same
        raise InputError(f"checkpoint's generator holds {name}, which no StyleGAN of rosinality's has")


def _config(tensors: dict[str, Tensor], epsilon: float, bias_before_blur: bool = False) -> Config:
    """What the shapes say."""
    levels = sorted({int(f[1]) for n in tensors if (f := re.match(r"synthesis\.b(\d+)_1\.bias$", n))})
    if not levels or levels != [4 << i for i in range(len(levels))] or levels[-1] > 4096:
        raise InputError(f"checkpoint's generator has layers of {levels} px; expected 4, 8, … without a gap")
    first = _shape(tensors, "mapping.fc0.weight", 2)
    embedded = "mapping.embed" in tensors
    classes, z_dim = _shape(tensors, "mapping.embed", 2) if embedded else (0, first[1])
    return Config(
        z_dim=z_dim,
        c_dim=classes,
        w_dim=first[0],
        mapping_layers=len([n for n in tensors if re.fullmatch(r"mapping\.fc\d+\.weight", n)]),
        img_channels=_shape(tensors, "synthesis.torgb.bias", 1)[0],
        channels=tuple(_shape(tensors, f"synthesis.b{level}_1.bias", 1)[0] for level in levels),
        epsilon=epsilon,
        bias_before_blur=bias_before_blur,
    )


def _shape(tensors: dict[str, Tensor], name: str, axes: int) -> tuple[int, ...]:
    if name not in tensors:
        raise InputError(f"checkpoint's generator has no {name}")
    return tuple(_axes(name, tensors[name], axes).shape)


def _dense(name: str, value: Tensor, gain: float) -> Tensor:
    """in, out."""
    return (_axes(name, value, 2) * (gain / math.sqrt(value.shape[0]))).T.contiguous()


def _kernel(name: str, value: Tensor, gain: float) -> Tensor:
    kernel = _axes(name, value, 4).permute(3, 2, 0, 1)
    return (kernel * (gain / math.sqrt(kernel[0].numel()))).contiguous()


def _scaled(value: Tensor) -> Tensor:
    """rosinality's ``equal_lr``: of convolutions, linear layers and noise alike."""
    if value.ndim < 2 or 0 in value.shape:
        raise InputError(f"checkpoint's generator holds a weight of shape {list(value.shape)}; expected 2 axes or more")
    return value * (GAIN / math.sqrt(value.shape[1] * value[0][0].numel()))


def _axes(name: str, value: Tensor, axes: int) -> Tensor:
    if value.ndim != axes or 0 in value.shape:
        raise InputError(f"checkpoint's {name} has shape {list(value.shape)}; expected {axes} axes")
    return value
