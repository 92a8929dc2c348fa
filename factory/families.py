"""Generator families: a table of them, and which one a checkpoint is of.

To add one: a folder with a class that fulfils ``generator.ImageGenerator``, and a line in ``FAMILIES``.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from labelfactory.errors import InputError
from labelfactory.factory.bundled import BUILTIN, builtin_path
from labelfactory.factory.checkpoints.contents import Contents, read_contents
from labelfactory.factory.device import resolve_device
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.translation.methods import METHODS, UNPAIRED
from labelfactory.lazy import member

if TYPE_CHECKING:
    from labelfactory.factory.translation.model import Translation

# Asked in this order whether a file is theirs; loaded when they are asked.
FAMILIES = {
    "stylegan2": "labelfactory.factory.stylegan2_ada.family:StyleGAN2",
    "stylegan": "labelfactory.factory.stylegan1.family:StyleGAN",
    "stylegan3": "labelfactory.factory.stylegan3.family:StyleGAN3",
    "wrapped": "labelfactory.factory.wrapped.family:Wrapped",
    "diffusion": "labelfactory.factory.diffusion.family:Diffusion",
    "discriminator": "labelfactory.factory.discriminator.family:Discriminating",
}
# Families whose pictures are of masks that somebody gives; ``open_synthesis`` opens their files.
MASK_CONDITIONED = {name: home for name, home in METHODS.items() if name not in UNPAIRED}
# Networks that people have and that no family here runs, by a class or a tensor's name that gives them away.
FOREIGN = {
    "FastganSynthesis": "FastGAN as in projected GANs",
    "FastganSynthesisCond": "FastGAN as in projected GANs",
    "SuperresGenerator": "StyleGAN-XL with super-resolution layers",
    "TriPlaneGenerator": "EG3D",
    "init.init": "FastGAN",
    "generator.skip_norms": "StyleSwin",
    "first.style": "GANformer",
    "g_synthesis.blocks": "a StyleGAN converted by lernapparat's code; take the official pickle that it was made of",
}


def family(name: str) -> type[ImageGenerator]:
    """The class of a family of the table."""
    found: type[ImageGenerator] = member(FAMILIES[name])
    return found


def open_generator(
    uri: str | os.PathLike[str],
    device: str = "auto",
    sha256: str | None = None,
    precision: str = "float32",
    config: Mapping[str, Any] | None = None,
) -> ImageGenerator:
    """Opens ``builtin:NAME``, or a path or fsspec URL of a checkpoint; docs/generators.md says of which makes.

    ``config`` says of a bare state dict what its weights do not.

    Raises InputError, in one line, for an unknown name, a file that holds no generator of a family of the table, a
    wrong ``sha256``, or a device that this machine lacks.
    """
    chosen = resolve_device(device)
    name = os.fspath(uri)
    source = builtin_path(name, "generator.safetensors") if name.startswith(BUILTIN) else name
    return open_contents(replace(read_contents(source, sha256), config=dict(config or {})), chosen, precision)


def open_synthesis(uri: str | os.PathLike[str], device: torch.device, sha256: str = "") -> "Translation":
    """The model of a mask-conditioned family that ``factory train-synthesis`` wrote.

    Raises InputError, in one line, where the file is none, is of another family, or has not that ``sha256``.
    """
    from labelfactory.factory.translation.model import load_model

    model = load_model(uri, device, sha256)
    if model.about.method not in MASK_CONDITIONED:
        known = " or ".join(MASK_CONDITIONED)
        raise InputError(f"{uri}: {model.about.method} makes pictures of pictures; give a model of {known}")
    return model


def open_contents(contents: Contents, device: torch.device, precision: str = "float32") -> ImageGenerator:
    """The generator of a file that was read."""
    for name in FAMILIES:
        if family(name).claims(contents):
            return family(name).open(contents, device, precision)
    raise InputError(f"{contents.name}: {_described(contents)}; expected a generator of {', '.join(FAMILIES)}")


def _described(contents: Contents) -> str:
    """What a file holds that no family claims."""
    if contents.form == "folder":
        return "is a folder of diffusers whose model no family knows"
    if contents.form == "labelfactory":
        return f"is a labelfactory file of family {contents.family!r}, which this release does not know"
    network = contents.generator
    if network is None:
        found = ", ".join(sorted([*contents.networks, *contents.loose])[:10]) or "nothing"
        return f"has no network G_ema, g_ema or the like (found: {found})"
    names = [network.class_name, *network.child_classes(), *_stems(network.names)]
    for sign, what in FOREIGN.items():
        if any(name.endswith(sign) for name in names):
            return f"is {what}, which no family runs"
    kind = f"a {network.class_name}" if network.class_name else f"a table of {len(network.tensors)} tensors"
    first = ", ".join(sorted(network.names)[:3]) or "nothing"
    return f"holds {kind} (tensors {first} …), which no family knows"


def _stems(names: Iterable[str]) -> set[str]:
    """The first two parts of tensors' names."""
    return {".".join(name.split(".")[:2]) for name in names}
