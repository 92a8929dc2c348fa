"""StyleGAN2 generators and discriminators in files: loads them in every dress, writes our ``.safetensors``.

Who wrote a file is told from the content, not from its name. Nothing in a file is ever executed (``checkpoints``).

Our file is a plain safetensors file. Tensors are named ``generator.<name>`` and ``discriminator.<name>`` with the
official parameter names; its header has one text, ``labelfactory``, a JSON object with ``format`` (1), ``generator``
and ``discriminator`` (the networks' configs) and ``metadata`` (free: data, licence, images seen …).
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from labelfactory.errors import InputError
from labelfactory.factory.checkpoints.contents import EMA_NAMES, HEADER, Contents, Network, read_contents
from labelfactory.factory.checkpoints.filling import filled
from labelfactory.factory.stylegan2_ada.config import DiscriminatorConfig, NetworkConfig
from labelfactory.factory.stylegan2_ada.dresses import (
    discriminator_from_rosinality,
    discriminator_from_tensorflow,
    from_rosinality,
    from_tensorflow,
    is_rosinality,
    is_tensorflow,
)
from labelfactory.factory.stylegan2_ada.networks import Discriminator, Generator
from labelfactory.factory.stylegan2_ada.official_networks import discriminator_config, generator_config
from labelfactory.factory.stylegan2_ada.shapes import completed, discriminator_shapes, generator_shapes
from labelfactory.whole_files import whole_file

MEAN_SAMPLES = 10_000  # of w, where a file does not have their mean


@dataclass(frozen=True)
class Checkpoint:
    """What a file held.

    generator      moving average of the generator's weights (``G_ema``), float32, in eval mode, without gradients
    discriminator  likewise, or None where the file has none that this implementation knows
    sha256         of the whole file, lower-case hexadecimal
    config         of the generator
    metadata       the file's own, and ``format``: "official", "labelfactory", "rosinality", "tensorflow" …
    trained        the weights that the average follows (``G`` of an official file), where they were asked for
    """

    generator: Generator
    discriminator: Discriminator | None
    sha256: str
    config: NetworkConfig
    metadata: dict[str, Any] = field(default_factory=dict)
    trained: Generator | None = None


def load_checkpoint(uri: str | os.PathLike[str], sha256: str | None = None, for_training: bool = False) -> Checkpoint:
    """Loads a generator (and its discriminator) from a path or any fsspec URL.

    ``sha256`` (hexadecimal, either case), where given, must be that of the file: it is compared before anything is
    parsed. ``for_training`` also loads the weights that are not averaged, and refuses a discriminator of another
    kind, which is passed over otherwise. Raises ``InputError``, in one line that begins with the uri, for a missing,
    unreadable, truncated, hostile or mismatched file.
    """
    return from_contents(read_contents(uri, sha256), for_training)


def from_contents(contents: Contents, for_training: bool = False) -> Checkpoint:
    """The networks of a file that was read."""
    try:
        if contents.form == "labelfactory":
            contents.says_all()
            return _ours(contents)
        return _theirs(contents, for_training)
    except InputError as error:
        raise InputError(f"{contents.name}: {error}") from None


def save_safetensors(
    path: str | os.PathLike[str],
    generator: nn.Module,
    discriminator: Discriminator | None = None,
    metadata: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
    family: str = "stylegan2",
) -> str:
    """Writes the networks and returns the file's sha256. The same networks and metadata give the same bytes.

    ``generator`` may be one of another family that is named in the file then, its config a table of plain values.
    ``dtype`` float16 halves the file (relative error of a weight below 5e-4). The file appears whole or not at all.
    Raises ``InputError`` for metadata that is no JSON or weights that are not finite, ``WorkError`` where the disk
    refuses.
    """
    if dtype not in (torch.float16, torch.float32):
        raise InputError(f"dtype {dtype}: expected torch.float16 or torch.float32")
    networks: dict[str, nn.Module] = {"generator": generator}
    if discriminator is not None:
        networks["discriminator"] = discriminator
    tensors: dict[str, Tensor] = {}
    header: dict[str, Any] = {"format": 1, "metadata": dict(metadata or {})}
    header |= {} if family == "stylegan2" else {"family": family}
    for part, network in networks.items():
        config: Any = network.config
        header[part] = config if isinstance(config, dict) else config.to_dict()
        for key, value in network.state_dict().items():
            stored = value.detach().to(device="cpu", dtype=dtype).contiguous()
            if not stored.isfinite().all():
                raise InputError(f"{part}.{key} is not finite in {dtype}; nothing was written")
            tensors[f"{part}.{key}"] = stored
    try:
        text = json.dumps(header, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"checkpoint metadata cannot be written as JSON: {error}") from None
    data = safetensors.torch.save(tensors, metadata={HEADER: text})
    with whole_file(Path(path)) as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def _ours(contents: Contents) -> Checkpoint:
    header = contents.header
    parts = {name: network.tensors for name, network in contents.networks.items()}
    config = NetworkConfig.from_dict(header.get("generator"))
    generator = filled(Generator, config.to_dict(), parts.get("generator", {}), "generator")
    return Checkpoint(generator, our_discriminator(contents), contents.sha256, config, our_metadata(contents))


def our_discriminator(contents: Contents) -> Discriminator | None:
    """That of a file of ours, where it has one."""
    if contents.header.get("discriminator") is None:
        return None
    kwargs = DiscriminatorConfig.from_dict(contents.header["discriminator"]).to_dict()
    tensors = contents.networks["discriminator"].tensors if "discriminator" in contents.networks else {}
    return filled(Discriminator, kwargs, tensors, "discriminator")


def our_metadata(contents: Contents) -> dict[str, Any]:
    """What a file of ours says of itself."""
    metadata = contents.header.get("metadata")
    return (metadata if isinstance(metadata, dict) else {}) | {"format": "labelfactory"}


def _theirs(contents: Contents, for_training: bool) -> Checkpoint:
    network = contents.generator
    if network is None:
        found = ", ".join(sorted([*contents.networks, *contents.loose])[:10]) or "nothing"
        raise InputError(f"checkpoint has no network G_ema (found: {found})")
    averaged = next((name for name in EMA_NAMES if contents.networks.get(name) is network), "generator")
    generator, metadata = _generator(contents, network, averaged)
    if averaged == "generator":
        metadata["weights"] = "not averaged: the file has no moving average of the generator's"
    discriminator = discriminator_of(contents, metadata, for_training)
    trained = None
    plain = next((contents.networks[name] for name in ("G", "g") if name in contents.networks), None)
    if for_training and plain is not None and plain is not network:
        trained = _generator(contents, plain, "G")[0]
    config = NetworkConfig.from_dict(generator.config)
    return Checkpoint(generator, discriminator, contents.sha256, config, metadata, trained)


def discriminator_of(contents: Contents, metadata: dict[str, Any], needed: bool = False) -> Discriminator | None:
    """The discriminator of somebody's file; where it is of another kind, ``metadata`` says so, unless it is needed."""
    theirs = next((contents.networks[name] for name in ("D", "d", "discriminator") if name in contents.networks), None)
    if theirs is None:
        return None
    try:
        return _discriminator(theirs)
    except InputError as error:
        if needed:
            raise
        metadata["discriminator"] = f"not loaded: {error}"  # whoever only samples does not need it
        return None


def _generator(contents: Contents, network: Network, part: str) -> tuple[Generator, dict[str, Any]]:
    """The generator under official names, whoever named its weights."""
    metadata: dict[str, Any] = {"format": "official"}
    if is_tensorflow(network.names):
        metadata["format"] = "tensorflow"
        tensors = from_tensorflow(network.tensors, network.settings)
        shapes = generator_shapes(tensors) | _clamp_of(network)
        if "mapping/LabelConcat/weight" in network.names:
            shapes["joint_norm"] = True
    elif is_rosinality(network.names):
        metadata["format"] = "rosinality"
        tensors = from_rosinality(network.tensors)
        shapes = generator_shapes(tensors)
    else:
        config = generator_config(network)
        if network.record is not None:
            contents.says_all()
            return filled(Generator, config.to_dict(), network.tensors, part), metadata
        metadata["format"] = "state dict"
        tensors, shapes = dict(network.tensors), config.to_dict()
    config = NetworkConfig.from_dict(shapes | contents.config)
    if metadata["format"] != "tensorflow" and "mapping_lr" not in contents.config:
        metadata["assumed"] = f"mapping_lr {config.mapping_lr:g}, which the file does not say"
    average = contents.loose.get("latent_avg")
    if "mapping.w_avg" not in tensors and isinstance(average, Tensor):
        tensors["mapping.w_avg"] = average.flatten()
    known = "mapping.w_avg" in tensors
    if not known:
        tensors["mapping.w_avg"] = torch.zeros(config.w_dim)
    generator = filled(Generator, config.to_dict(), completed(tensors, config, Generator), part)
    if not known:
        metadata["w_avg"] = "estimated: the file has no mean style vector"
        generator.mapping.w_avg.copy_(_estimated_mean(generator))
    return generator, metadata


def _clamp_of(network: Network) -> dict[str, Any]:
    clamp = network.settings.get("conv_clamp")
    return {"conv_clamp": float(clamp)} if isinstance(clamp, int | float) and not isinstance(clamp, bool) else {}


@torch.no_grad()
def _estimated_mean(generator: Generator) -> Tensor:
    z = np.random.default_rng(0).standard_normal((MEAN_SAMPLES, generator.z_dim), dtype=np.float32)
    classes = None
    if generator.c_dim:
        classes = torch.eye(generator.c_dim)[torch.arange(MEAN_SAMPLES) % generator.c_dim]
    return generator.mapping(torch.from_numpy(z), classes)[:, 0].mean(0)


def _discriminator(network: Network) -> Discriminator:
    if network.record is not None and not network.of_tensorflow():
        return filled(Discriminator, discriminator_config(network).to_dict(), network.tensors, "D")
    tensors = network.tensors
    if network.of_tensorflow():
        tensors = discriminator_from_tensorflow(tensors)
    elif "final_linear.1.weight" in tensors:
        tensors = discriminator_from_rosinality(tensors)
    config = DiscriminatorConfig(**discriminator_shapes(tensors))
    return filled(Discriminator, config.to_dict(), completed(tensors, config, Discriminator), "D")
