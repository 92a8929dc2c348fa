"""How a diffusion run begins: fresh, continued from a snapshot, or with the weights of a folder."""

from pathlib import Path
from typing import Any

from labelfactory.errors import InputError
from labelfactory.factory.diffusion.folder import diffusers_of, load_parts
from labelfactory.factory.diffusion.presets import Recipe, preset
from labelfactory.factory.diffusion.training import PREDICTIONS, SCHEDULES, DiffusionTrainer, new_schedule, new_unet
from labelfactory.factory.training.dataset import ImageDataset
from labelfactory.factory.training.generator_order import SNAPSHOT, GeneratorOrder
from labelfactory.factory.training.parallel import World
from labelfactory.factory.training.precision import best_precision
from labelfactory.factory.training.snapshots import family_of, is_snapshot, read_state
from labelfactory.factory.training.trainer import Begun


def begin(order: GeneratorOrder, data: ImageDataset, world: World, source: str | None) -> Begun:
    """The training that ``order`` asks for. ``source`` is a snapshot, which goes on with its own recipe, or a folder
    of diffusers whose weights and noise are taken over. Raises ``InputError`` where one does not fit the data."""
    diffusers_of("train-generator --family diffusion")
    chosen = preset(order.preset, data.resolution)
    wishes = {**order.wishes, "precision": best_precision(order.precision, world.device)}
    return Begun(start(data, chosen.network, chosen.recipe, world, source, wishes, order.micro), chosen.kimg)


def start(
    data: ImageDataset,
    network: dict[str, Any],
    recipe: Recipe,
    world: World,
    source: str | None = None,
    wishes: dict[str, Any] | None = None,
    micro: int = 1,
) -> DiffusionTrainer:
    """A trainer at its first step, or where a snapshot left off; ``wishes`` change single numbers of the recipe."""
    wishes = wishes or {}
    if source is None:
        recipe = recipe.changed(**wishes)
        return DiffusionTrainer(data, new_unet(data, network, recipe), new_schedule(recipe), recipe, world, micro)
    if is_snapshot(source):
        return _continued(data, Path(source), world, wishes, micro)
    if "://" in source or not Path(source).is_dir():
        raise InputError(f"{source}: expected a {SNAPSHOT} of a diffusion run, or a folder that diffusers saved")
    parts = load_parts(Path(source))
    if parts.vae is not None:
        raise InputError(f"{source}: is a model of latents; training takes models of pixels")
    recipe = recipe.changed(**wishes)
    _keep_noise(source, parts.scheduler, wishes)
    return DiffusionTrainer(data, parts.unet, _ddpm(parts.scheduler.config), recipe, world, micro)


def _continued(data: ImageDataset, path: Path, world: World, wishes: dict[str, Any], micro: int) -> DiffusionTrainer:
    diffusers, state = diffusers_of(str(path)), read_state(path)
    if family_of(state) != "diffusion":
        raise InputError(f"{path}: is of family {family_of(state)}; train with --family {family_of(state)}")
    if state.get("format") != 1:
        raise InputError(f"{path}: is not a {SNAPSHOT} that this release reads")
    schedule = _ddpm(state["schedule"])
    _keep_noise(str(path), schedule, wishes)
    recipe = Recipe.from_dict(state["recipe"]).changed(**wishes)
    trainer = DiffusionTrainer(data, diffusers.UNet2DModel(**state["network"]), schedule, recipe, world, micro)
    trainer.load_state_dict(state)
    return trainer


def _ddpm(settings: Any) -> Any:
    import diffusers

    return diffusers.DDPMScheduler.from_config(dict(settings))


def _keep_noise(source: str, schedule: Any, wishes: dict[str, Any]) -> None:
    """What a network was trained to remove stays what it removes."""
    asked = {
        "schedule": SCHEDULES.get(wishes.get("schedule", "")),
        "prediction": PREDICTIONS.get(wishes.get("prediction", "")),
    }
    has = {"schedule": schedule.config.beta_schedule, "prediction": schedule.config.prediction_type}
    for name, value in asked.items():
        if value is not None and value != has[name]:
            raise InputError(f"{source}: was trained with {name} {has[name]}, which stays; leave --{name} out")
