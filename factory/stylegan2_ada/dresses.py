"""StyleGAN2 as others name its weights: rosinality's PyTorch and the official TensorFlow programs.

The names are looked up in rosinality's repository (MIT), whose converter relates the two; all arithmetic is the same
but for what is noted. The result has the official PyTorch names.
"""

import math
import re
from typing import Any

import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.stylegan2_ada.shapes import resolutions


def is_rosinality(names: frozenset[str]) -> bool:
    return {"input.input", "conv1.conv.weight", "conv1.conv.modulation.weight", "to_rgb1.bias"} <= names


def is_tensorflow(names: frozenset[str]) -> bool:
    return {"synthesis/4x4/Const/const", "synthesis/4x4/Conv/mod_weight", "mapping/Dense0/weight"} <= names


def from_rosinality(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Generator ``size, style_dim, n_mlp, channel_multiplier``: g, g_ema of its checkpoints."""
    out: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if found := re.fullmatch(r"style\.(\d+)\.(weight|bias)", name):
            out[f"mapping.fc{int(found[1]) - 1}.{found[2]}"] = value
        elif name == "input.input":
            out["synthesis.b4.const"] = _axes(name, value, 4)[0]
        elif found := re.fullmatch(r"noises\.noise_(\d+)", name):
            out[f"synthesis.{_layer(int(found[1]))}.noise_const"] = _axes(name, value, 4)[0, 0]
        elif found := re.fullmatch(r"(conv1|convs\.(\d+))\.(.+)", name):
            _convolution(out, name, _layer(int(found[2]) + 1 if found[2] else 0), found[3], value)
        elif found := re.fullmatch(r"(to_rgb1|to_rgbs\.(\d+))\.(.+)", name):
            _to_rgb(out, name, 8 << int(found[2]) if found[2] else 4, found[3], value)
        else:
            raise InputError(f"checkpoint's generator holds {name}, which no StyleGAN2 of rosinality's has")
    kernels = [value for name, value in tensors.items() if name.endswith("blur.kernel")]
    if kernels:  # theirs holds the gain of upsampling too
        fir = kernels[0].float() / kernels[0].float().sum()
        for level in resolutions(out, r"synthesis\.b(\d+)\."):
            layers = ("", ".conv1") if level == 4 else ("", ".conv0", ".conv1")
            out |= {f"synthesis.b{level}{layer}.resample_filter": fir for layer in layers}
    return out


def _layer(index: int) -> str:
    return "b4.conv1" if index == 0 else f"b{8 << (index - 1) // 2}.conv{(index - 1) % 2}"


def _convolution(out: dict[str, Tensor], name: str, layer: str, part: str, value: Tensor) -> None:
    if part == "conv.weight":
        out[f"synthesis.{layer}.weight"] = _axes(name, value, 5)[0]
    elif part.startswith("conv.modulation."):
        out[f"synthesis.{layer}.affine.{part.removeprefix('conv.modulation.')}"] = value
    elif part == "noise.weight":
        out[f"synthesis.{layer}.noise_strength"] = value.reshape(())
    elif part == "activate.bias":
        out[f"synthesis.{layer}.bias"] = value
    elif part != "conv.blur.kernel":
        raise InputError(f"checkpoint's generator holds {name}, which no StyleGAN2 of rosinality's has")


def _to_rgb(out: dict[str, Tensor], name: str, level: int, part: str, value: Tensor) -> None:
    if part == "conv.weight":
        out[f"synthesis.b{level}.torgb.weight"] = _axes(name, value, 5)[0]
    elif part.startswith("conv.modulation."):
        out[f"synthesis.b{level}.torgb.affine.{part.removeprefix('conv.modulation.')}"] = value
    elif part == "bias":
        out[f"synthesis.b{level}.torgb.bias"] = value.flatten()
    elif part != "upsample.kernel":
        raise InputError(f"checkpoint's generator holds {name}, which no StyleGAN2 of rosinality's has")


def discriminator_from_rosinality(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Its ``d``: blocks are numbered from the finest."""
    blocks = resolutions(tensors, r"convs\.(\d+)\.conv1\.")
    finest = 4 << len(blocks)
    parts = {"conv1.0": "conv0", "conv1.1": "conv0", "conv2.1": "conv1", "conv2.2": "conv1", "skip.1": "skip"}
    ends = {"final_conv.0": "conv", "final_conv.1": "conv", "final_linear.0": "fc", "final_linear.1": "out"}
    out: dict[str, Tensor] = {}
    for name, value in tensors.items():
        stem, _, kind = name.rpartition(".")
        if found := re.fullmatch(r"convs\.0\.[01]", stem):
            out[f"b{finest}.fromrgb.{kind}"] = value
        elif (found := re.fullmatch(r"convs\.(\d+)\.(.+)", stem)) and found[2] in parts:
            out[f"b{finest >> int(found[1]) - 1}.{parts[found[2]]}.{kind}"] = value
        elif stem in ends:
            out[f"b4.{ends[stem]}.{kind}"] = value
        elif kind != "kernel":
            raise InputError(f"checkpoint's discriminator holds {name}, which no StyleGAN2 of rosinality's has")
    return out


def from_tensorflow(tensors: dict[str, Tensor], settings: dict[str, Any]) -> dict[str, Tensor]:
    """Gs (or G) of a StyleGAN2 or StyleGAN2-ADA pickle: kernels as rows, columns, in, out; styles' biases less 1."""
    out: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if found := re.fullmatch(r"mapping/(Dense(\d+)|LabelEmbed)/(weight|bias)", name):
            part = f"fc{found[2]}" if found[2] else "embed"
            out[f"mapping.{part}.{found[3]}"] = value.T.contiguous() if found[3] == "weight" else value
        elif name == "mapping/LabelConcat/weight":  # of StyleGAN2; the layer here divides by the root of the classes
            rows = _axes(name, value, 2)
            out["mapping.embed.weight"] = rows.T.contiguous() * math.sqrt(len(rows))
            out["mapping.embed.bias"] = torch.zeros(rows.shape[1])
        elif name == "dlatent_avg":
            out["mapping.w_avg"] = value
        elif name == "synthesis/4x4/Const/const":
            out["synthesis.b4.const"] = _axes(name, value, 4)[0]
        elif found := re.fullmatch(r"synthesis/noise(\d+)", name):
            out[f"synthesis.{_layer(int(found[1]))}.noise_const"] = _axes(name, value, 4)[0, 0]
        elif found := re.fullmatch(r"synthesis/(\d+)x\d+/(Conv|Conv0_up|Conv1|ToRGB|Skip)/(\w+)", name):
            _tensorflow_layer(out, name, int(found[1]), found[2], found[3], value)
        elif not name.endswith("lod"):
            raise InputError(f"checkpoint's generator holds {name}, which no StyleGAN2 of TensorFlow has")
    row = torch.tensor([float(tap) for tap in settings.get("resample_kernel") or (1, 3, 3, 1)])
    fir = torch.outer(row, row) / row.sum().square()
    for level in resolutions(out, r"synthesis\.b(\d+)\."):
        layers = [".conv1", *([".conv0"] if level > 4 else []), ""]
        layers += [".skip"] if f"synthesis.b{level}.skip.weight" in out else []
        out |= {f"synthesis.b{level}{layer}.resample_filter": fir for layer in layers}
    return out


def _tensorflow_layer(out: dict[str, Tensor], name: str, level: int, layer: str, part: str, value: Tensor) -> None:
    known = {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb", "Skip": "skip"}
    place = f"synthesis.b{level}.{known[layer]}"
    if part == "weight":
        kernel = _axes(name, value, 4).permute(3, 2, 0, 1).contiguous()
        out[f"{place}.weight"] = (
            kernel.flip(2, 3) if layer == "Conv0_up" else kernel
        )  # theirs correlates, ours convolves
    elif part in ("bias", "noise_strength"):
        out[f"{place}.{part}"] = value.reshape(()) if part == "noise_strength" else value
    elif part == "mod_weight":
        out[f"{place}.affine.weight"] = value.T.contiguous()
    elif part == "mod_bias":
        out[f"{place}.affine.bias"] = value + 1
    else:
        raise InputError(f"checkpoint's generator holds {name}, which no StyleGAN2 of TensorFlow has")


def discriminator_from_tensorflow(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """D of an unconditional pickle."""
    known = {"FromRGB": "fromrgb", "Conv0": "conv0", "Conv1_down": "conv1", "Skip": "skip"}
    known |= {"Conv": "conv", "Dense0": "fc", "Output": "out"}
    out: dict[str, Tensor] = {}
    for name, value in tensors.items():
        found = re.fullmatch(r"(?:(\d+)x\d+/)?(\w+)/(weight|bias)", name)
        if found is None or found[2] not in known:
            if name.endswith("lod"):
                continue
            raise InputError(f"checkpoint's discriminator holds {name}, which is not supported")
        turned = value.permute(3, 2, 0, 1) if value.ndim == 4 else value.T if value.ndim == 2 else value
        out[f"b{found[1] or 4}.{known[found[2]]}.{found[3]}"] = turned.contiguous()
    return out


def _axes(name: str, value: Tensor, axes: int) -> Tensor:
    if value.ndim != axes or 0 in value.shape:
        raise InputError(f"checkpoint's {name} has shape {list(value.shape)}; expected {axes} axes")
    return value
