"""Generator families that can be trained: a table of them.

To add one: a recipe (a ``TrainingRecipe``), a table of presets, a function that gives a ``Trainer``, and a line here.
Nothing of a family is loaded before somebody asks for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from labelfactory.errors import InputError
from labelfactory.lazy import member


@dataclass(frozen=True)
class Trained:
    """Where a family's parts are, as "module:name".

    told     what it is, in a few words
    recipe   dataclass of its numbers
    presets  mapping of its presets' names to what is said of them
    begin    (order, images, world, source) -> (Trainer, thousand images to train for)
    """

    told: str
    recipe: str
    presets: str
    begin: str

    def part(self, name: str) -> Any:
        return member(getattr(self, name))

    def check(self, family: str, preset: str, wishes: Mapping[str, Any]) -> None:
        """InputError for a preset or a number that this family does not have."""
        if preset not in self.part("presets"):
            raise InputError(f"preset {preset!r}: family {family} has {', '.join(self.part('presets'))}")
        known = {field.name for field in fields(self.part("recipe"))}
        for name in wishes:
            if name not in known:
                others = [other for other, it in TRAINED.items() if name in {f.name for f in fields(it.part("recipe"))}]
                raise InputError(f"{name} is a number of family {' or '.join(others)}; {family} has none, leave it out")


_FACTORY = "labelfactory.factory"
TRAINED = {
    "stylegan2": Trained(
        "StyleGAN2-ADA",
        f"{_FACTORY}.stylegan2_ada.presets:Recipe",
        f"{_FACTORY}.stylegan2_ada.presets:PRESETS",
        f"{_FACTORY}.stylegan2_ada.snapshots:begin",
    ),
    "diffusion": Trained(
        "DDPM, of diffusers",
        f"{_FACTORY}.diffusion.presets:Recipe",
        f"{_FACTORY}.diffusion.presets:PRESETS",
        f"{_FACTORY}.diffusion.snapshots:begin",
    ),
}
RECIPES = {name: trained.recipe for name, trained in TRAINED.items()}
PRESETS = {name: told for trained in TRAINED.values() for name, told in trained.part("presets").items()}
