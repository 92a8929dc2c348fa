"""How a run begins: fresh, continued from a snapshot, or with weights from elsewhere."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from labelfactory.errors import InputError
from labelfactory.factory.stylegan2_ada.checkpoint import Checkpoint, load_checkpoint
from labelfactory.factory.stylegan2_ada.config import DiscriminatorConfig, NetworkConfig
from labelfactory.factory.stylegan2_ada.growing import grown
from labelfactory.factory.stylegan2_ada.networks import Discriminator, Generator
from labelfactory.factory.stylegan2_ada.presets import ALL, Preset, Recipe, preset
from labelfactory.factory.stylegan2_ada.training import StyleGAN2Trainer, clamp_of, new_networks
from labelfactory.factory.training.dataset import ImageDataset
from labelfactory.factory.training.generator_order import SNAPSHOT, GeneratorOrder
from labelfactory.factory.training.parallel import World
from labelfactory.factory.training.precision import best_precision
from labelfactory.factory.training.snapshots import family_of, is_snapshot, read_state
from labelfactory.factory.training.trainer import Begun


def read_snapshot(path: Path) -> dict[str, Any]:
    """State of a run of this family; nothing in the file is executed. Raises ``InputError`` for what is none."""
    state = read_state(path)
    if family_of(state) != "stylegan2":
        raise InputError(f"{path}: is of family {family_of(state)}; train with --family {family_of(state)}")
    if "format" not in state and "config" in state:
        state = _from_first_format(state)
    if state.get("format") != 2:
        raise InputError(f"{path}: is not a {SNAPSHOT} that this release reads")
    return state


def _from_first_format(state: dict[str, Any]) -> dict[str, Any]:
    """The compact loop's snapshot: no adaptive augmentation, dihedral amplification, lazy R1 alone."""
    old, network = state["config"], state["network"]
    names = ("batch", "learning_rate", "r1_gamma", "r1_interval", "ema_kimg", "ema_rampup", "seed")
    noise = any(bool(v) for name, v in state["generator"].items() if name.endswith("noise_strength"))
    recipe = preset("tiny", network["img_resolution"]).recipe.changed(
        **{name: old.get(name) for name in names},
        precision=old.get("half_dtype"),
        amplify="dihedral",
        augment="none",
        pl_weight=0.0,
        style_mixing=0.0,
        noise=noise,
    )
    shared = ("c_dim", "img_resolution", "img_channels", "channel_base", "channel_max", "conv_clamp")
    return state | {
        "format": 2,
        "recipe": recipe.to_dict(),
        "discriminator_config": {name: network[name] for name in shared} | {"mbstd_group_size": 4},
        "p": 0.0,
        "r_t": 0.0,
        "pl_mean": torch.zeros([]),
        "signs": torch.zeros([]),
    }


def in_precision(wanted: str, device: torch.device, half_resolutions: int) -> dict[str, Any]:
    """Recipe entries ``precision`` and ``half_resolutions`` for a wish: on CUDA the highest ``half_resolutions`` as in
    the paper, on a CPU all (one with half-precision units is slow in everything else)."""
    half = half_resolutions if device.type == "cuda" else ALL
    return {"precision": best_precision(wanted, device), "half_resolutions": half}


def begin(order: GeneratorOrder, data: ImageDataset, world: World, source: str | None) -> Begun:
    """The training that ``order`` asks for, from ``source`` (see ``start``) where there is one."""
    chosen = preset(order.preset, data.resolution, world.size)
    precision = in_precision(order.precision, world.device, chosen.recipe.half_resolutions)
    return Begun(start(data, chosen, world, source, {**order.wishes, **precision}, order.micro), chosen.kimg)


def start(
    data: ImageDataset,
    chosen: Preset,
    world: World,
    resume: str | None = None,
    wishes: dict[str, Any] | None = None,
    micro: int = 1,
) -> StyleGAN2Trainer:
    """A trainer at its first step, or where a snapshot left off.

    ``resume`` names a snapshot of a run, which goes on with its own recipe, or any checkpoint whose weights are taken
    over: sizes of the networks then come from the file (a lower resolution is grown, see ``growing``), and as in
    StyleGAN2-ADA augmentation reacts faster (ada_kimg 100) and the moving average is not ramped up. ``wishes`` change
    single numbers of the recipe (None: do not). Raises ``InputError`` where channels or classes of file and data
    differ, or the file's resolution is the higher one.
    """
    wishes = wishes or {}
    if resume is None:
        recipe = chosen.recipe.changed(**wishes)
        return StyleGAN2Trainer(data, new_networks(data, chosen.network, recipe), recipe, world, micro)
    if is_snapshot(resume):
        state = read_snapshot(Path(resume))
        recipe = Recipe.from_dict(state["recipe"]).changed(**wishes)
        clamp = _clamp(recipe)
        networks = (Generator(**state["network"] | clamp), Discriminator(**state["discriminator_config"] | clamp))
        trainer = StyleGAN2Trainer(data, networks, recipe, world, micro)
        trainer.load_state_dict(state)
        return trainer
    recipe = chosen.recipe.changed(ada_kimg=100.0).changed(**wishes)
    recipe = Recipe(**recipe.to_dict() | {"ema_rampup": wishes.get("ema_rampup")})
    checkpoint = load_checkpoint(resume, for_training=True)
    if recipe.freeze_d and checkpoint.discriminator is None:
        raise InputError(f"{resume}: has no discriminator whose first {recipe.freeze_d} layers could be kept")
    config = checkpoint.config
    if config.img_resolution < data.resolution and config.img_channels == data.channels:
        checkpoint = _grown(checkpoint, data, recipe.freeze_d, resume)
    networks = _transferred(data, recipe, checkpoint.trained or checkpoint.generator, checkpoint.discriminator)
    trainer = StyleGAN2Trainer(data, networks, recipe, world, micro)
    trainer.ema.load_state_dict(checkpoint.generator.state_dict())
    trainer.silence(trainer.ema)
    return trainer


def _grown(checkpoint: Checkpoint, data: ImageDataset, freeze_d: int, name: str) -> Checkpoint:
    if freeze_d:
        pixels = checkpoint.config.img_resolution
        raise InputError(
            f"{name}: of {pixels} px, the data of {data.resolution}: the discriminator's first layers are new ones, so "
            "freeze_d must be 0"
        )
    d, trained, side = checkpoint.discriminator, checkpoint.trained, data.resolution
    return replace(
        checkpoint,
        generator=grown(checkpoint.generator, side),
        discriminator=None if d is None else grown(d, side),
        trained=None if trained is None else grown(trained, side),
    )


def _clamp(recipe: Recipe) -> dict[str, float]:
    """What float16 needs, whatever the network was trained with before."""
    limit = clamp_of(recipe)
    return {} if limit is None else {"conv_clamp": limit}


def _transferred(
    data: ImageDataset, recipe: Recipe, generator: Generator, discriminator: Discriminator | None
) -> tuple[Generator, Discriminator]:
    config = NetworkConfig.from_dict(generator.config)
    g = Generator(**config.to_dict() | _clamp(recipe))
    g.load_state_dict(generator.state_dict())
    if discriminator is None:
        network = {name: getattr(config, name) for name in ("channel_base", "channel_max")}
        network |= {"z_dim": config.z_dim, "w_dim": config.w_dim, "mapping_layers": config.mapping_layers}
        return g, new_networks(data, network, recipe)[1]
    kwargs = DiscriminatorConfig.from_dict(discriminator.config).to_dict() | {"mbstd_group_size": recipe.mbstd_group}
    d = Discriminator(**kwargs | _clamp(recipe))
    d.load_state_dict(discriminator.state_dict())
    return g, d
