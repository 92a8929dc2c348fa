"""A folder that ``diffusers`` saved: which parts it has, loaded without running anything that it names.

Only weights in safetensors are read, and only classes that stand here are made, whatever the folder asks for.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from labelfactory.errors import InputError
from labelfactory.ownership import claim
from labelfactory.whole_files import whole_file

MODELS = ("UNet2DModel", "AutoencoderKL")
METADATA = "labelfactory.json"
SCHEDULERS = ("DDPMScheduler", "DDIMScheduler")


class Parts(NamedTuple):
    """unet: ``UNet2DModel``; scheduler: a ``DDIMScheduler``; vae: ``AutoencoderKL`` of a latent model, or None."""

    unet: Any
    scheduler: Any
    vae: Any | None


def diffusers_of(place: str) -> Any:
    """The library; InputError where it is not installed."""
    try:
        import diffusers
    except ImportError as error:
        raise InputError(
            f"{place}: needs diffusers, which is not installed ({error}); pip install 'labelfactory[diffusion]'"
        ) from None
    return diffusers


def load_parts(path: Path) -> Parts:
    """InputError, in one line that begins with the folder, where it is no such model or a part is damaged."""
    diffusers = diffusers_of(str(path))
    root = path / "unet" if (path / "unet" / "config.json").is_file() else path
    unet = _model(diffusers, root, "UNet2DModel")
    vae = _model(diffusers, path / "vae", "AutoencoderKL") if (path / "vae").is_dir() else None
    if (path / "vqvae").is_dir():
        raise InputError(f"{path}: has a vqvae; expected an AutoencoderKL (vae), or none")
    return Parts(unet, _scheduler(diffusers, path / "scheduler"), vae)


def save_folder(path: Path, unet: Any, schedule: Any, metadata: dict[str, Any]) -> None:
    """A pipeline's folder, as ``DiffusionPipeline.from_pretrained`` takes it, with ``metadata`` in a file of its own.

    Each file appears whole or not at all, over those of an earlier call; weights are float32. Raises InputError where
    somebody else's folder is at ``path``, WorkError where the disk refuses.
    """
    diffusers = diffusers_of(str(path))
    claim(path.parent, [path.name])
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as fresh:
        diffusers.DDPMPipeline(unet=unet, scheduler=schedule).save_pretrained(fresh, safe_serialization=True)
        (Path(fresh) / METADATA).write_text(json.dumps(metadata, sort_keys=True, allow_nan=False) + "\n")
        for file in sorted(Path(fresh).rglob("*"), key=lambda f: f.name == "model_index.json"):
            if file.is_file():
                target = path / file.relative_to(fresh)
                target.parent.mkdir(parents=True, exist_ok=True)
                with whole_file(target) as out:
                    out.write(file.read_bytes())


def read_metadata(path: Path) -> dict[str, Any]:
    """What our own training says of a folder; of others' nothing."""
    return _settings(path / METADATA) if (path / METADATA).is_file() else {}


def _settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({' '.join(str(error).split())[:120]})") from None
    if not isinstance(settings, dict):
        raise InputError(f"{path}: holds no table of settings")
    return settings


def _model(diffusers: Any, path: Path, expected: str) -> Any:
    settings = _settings(path / "config.json")
    if settings.get("_class_name") != expected:
        raise InputError(f"{path}: is a {settings.get('_class_name', 'model without a name')}; expected {expected}")
    if not list(path.glob("*.safetensors")):
        raise InputError(f"{path}: has no weights in safetensors; save the model again with safe_serialization")
    try:
        model = getattr(diffusers, expected).from_pretrained(
            str(path), use_safetensors=True, low_cpu_mem_usage=False, local_files_only=True
        )
    except Exception as error:  # whatever a broken file makes the readers raise
        detail = " ".join(str(error).split())[:160]
        raise InputError(f"{path}: cannot be opened ({type(error).__name__}: {detail})") from None
    if not all(bool(value.isfinite().all()) for value in model.parameters()):
        raise InputError(f"{path}: holds weights that are not finite numbers")
    return model.eval().requires_grad_(False)


def _scheduler(diffusers: Any, path: Path) -> Any:
    """The DDIM scheduler of the noise that the model was trained on; without one, DDPM's usual thousand steps."""
    file = path / "scheduler_config.json"
    settings = _settings(file) if file.is_file() else {"_class_name": "DDPMScheduler"}
    if settings.get("_class_name") not in SCHEDULERS:
        raise InputError(f"{file}: is a {settings.get('_class_name')}; expected {' or '.join(SCHEDULERS)}")
    plain = {name: value for name, value in settings.items() if not name.startswith("_")}
    try:
        ddpm = diffusers.DDPMScheduler.from_config(plain)
        return diffusers.DDIMScheduler.from_config(ddpm.config)
    except Exception as error:  # settings of the wrong kinds
        raise InputError(f"{file}: cannot be used ({' '.join(str(error).split())[:160]})") from None
