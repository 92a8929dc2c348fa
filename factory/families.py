"""Generator families: which one a checkpoint is of, and how it is opened."""

import os

from labelfactory.factory.bundled import BUILTIN, builtin_path
from labelfactory.factory.device import resolve_device
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.stylegan2_ada.family import StyleGAN2


def open_generator(
    uri: str | os.PathLike[str], device: str = "auto", sha256: str | None = None, precision: str = "float32"
) -> ImageGenerator:
    """Opens ``builtin:NAME``, or a path or fsspec URL of an official ``.pkl`` or our ``.safetensors``.

    Raises InputError, in one line, for an unknown name, a file that is no such checkpoint, a wrong ``sha256``, or a
    device that this machine lacks.
    """
    chosen = resolve_device(device)
    name = os.fspath(uri)
    source = builtin_path(name, "generator.safetensors") if name.startswith(BUILTIN) else name
    return StyleGAN2.open(str(source), sha256, chosen, precision)
