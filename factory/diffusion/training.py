"""Training of a diffusion model: one step (Ho et al., arXiv 2006.11239, algorithm 1).

A run is a function of its recipe, its data and the step number: what is random in a step comes from (seed, step) and is
drawn for the whole batch. So a resumed run repeats the uninterrupted one, and processes that share a batch train as
one process would.
"""

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from labelfactory.errors import InputError
from labelfactory.factory.amplify import AMPLIFY
from labelfactory.factory.diffusion.folder import save_folder
from labelfactory.factory.diffusion.presets import STEPS, Recipe
from labelfactory.factory.diffusion.sampling import sample
from labelfactory.factory.pixels import to_uint8
from labelfactory.factory.symmetry import dihedral_each, element
from labelfactory.factory.training.dataset import ImageDataset
from labelfactory.factory.training.draws import real_indices, seed_of
from labelfactory.factory.training.parallel import World, share
from labelfactory.factory.training.trainer import Trainer, tiled
from labelfactory.interpreters.array_types import Float, Int

SHEET_STEPS = 25  # of DDIM, for a sheet of samples: half of what a generator takes
PREDICTIONS = {"epsilon": "epsilon", "v": "v_prediction"}
SCHEDULES = {"cosine": "squaredcos_cap_v2", "linear": "linear"}


@dataclass(frozen=True)
class Choices:
    """Everything random in a step but dropout; rows are samples of the whole batch."""

    reals: list[int]
    symmetry: Int[Tensor, " batch"]
    t: Int[Tensor, " batch"]
    noise: Float[Tensor, "batch channels height width"]


class DiffusionTrainer(Trainer):
    """A ``UNet2DModel``, its moving average, the schedule of the noise, Adam.

    ``micro`` splits this process's part of a batch into as many pieces. Raises ``InputError`` where network and data do
    not fit together or the batch cannot be split so.
    """

    made, ending = "generator", ""
    remedy = "a lower learning rate"
    recipe: Recipe

    def __init__(
        self, data: ImageDataset, unet: Any, schedule: Any, recipe: Recipe, world: World | None = None, micro: int = 1
    ) -> None:
        self.data, self.recipe, self.schedule = data, recipe, schedule
        self.world = world or World(0, 1, torch.device("cpu"))
        self.unet = unet.train().requires_grad_(True).to(self.world.device)
        self._check()
        if recipe.batch % (self.world.size * micro):
            raise InputError(
                f"batch {recipe.batch} cannot be split into {self.world.size} processes x {micro} micro-batches"
            )
        mine = range(self.world.rank * micro, (self.world.rank + 1) * micro)
        self.shares = [share(recipe.batch, 1, self.world.size * micro, k) for k in mine]
        self.ema = copy.deepcopy(self.unet).eval().requires_grad_(False)
        self.parameters = list(self.unet.parameters())
        fused = self.world.device.type in ("cpu", "cuda")
        self.optimiser = torch.optim.Adam(self.parameters, lr=recipe.learning_rate, fused=fused)
        self.scaler = torch.amp.GradScaler(self.world.device.type, enabled=recipe.precision == "float16")
        self.classes = self.data.labels.argmax(1) if self.data.label_dim else None
        self.images_seen = self.step = 0
        self._predict: Callable[..., Any] = self.unet

    def _check(self) -> None:
        config = self.unet.config
        theirs = [config.in_channels, config.sample_size, config.sample_size]
        data = [self.data.channels, self.data.resolution, self.data.resolution]
        if theirs != data or config.out_channels != config.in_channels:
            raise InputError(f"the network works on images of shape {theirs}, the data's are {data}")
        if int(config.num_class_embeds or 0) != self.data.label_dim:
            raise InputError(f"the network has {config.num_class_embeds} classes, the data has {self.data.label_dim}")
        labels = self.data.labels
        if self.data.label_dim and not bool(((labels == 0) | (labels == 1)).all() and (labels.sum(1) == 1).all()):
            raise InputError(f"{self.data.source}: labels are vectors; a diffusion model takes class numbers")

    def compile(self) -> None:
        self._predict = torch.compile(self.unet, dynamic=False)

    def networks(self) -> list[nn.Module]:
        return [self.unet, self.ema]

    def numbers(self) -> str:
        recipe = self.recipe
        parts = [f"batch {recipe.batch}", f"learning rate {recipe.learning_rate:g}", f"EMA {recipe.ema_kimg:g} kimg"]
        noise = self.schedule.config
        parts += [f"noise {noise.beta_schedule}", f"prediction {noise.prediction_type}"]
        return ", ".join([*parts, f"amplified {recipe.amplify}", f"seed {recipe.seed}"])

    def draw(self) -> Choices:
        """Choices of this step. Times are spread evenly over the batch, which makes the loss less noisy
        (arXiv 2107.00630, appendix I)."""
        n, rng = self.recipe.batch, torch.Generator().manual_seed(seed_of(self.recipe.seed, self.step, 0))
        mirrored, turns = (torch.randint(0, many, (n,), generator=rng) for many in AMPLIFY[self.recipe.amplify])
        even = (torch.randperm(n, generator=rng) + torch.rand((), generator=rng)) / n
        t = (even * int(self.schedule.config.num_train_timesteps)).long()
        noise = torch.randn(n, self.data.channels, self.data.resolution, self.data.resolution, generator=rng)
        reals = real_indices(len(self.data), self.images_seen, n, self.recipe.seed)
        return Choices(reals, element(mirrored, turns), t, noise)

    def train_step(self) -> dict[str, Tensor]:
        """Mean over this process's samples: ``loss``, the squared error of the network's prediction."""
        choices, recipe, device = self.draw(), self.recipe, self.world.device
        torch.manual_seed(seed_of(recipe.seed, self.step, self.world.rank + 1))  # dropout
        coming = real_indices(len(self.data), self.images_seen + recipe.batch, recipe.batch, recipe.seed)
        mine = torch.cat(self.shares)
        images = self.data.float_batch([choices.reals[i] for i in mine], then=[coming[i] for i in mine])
        images = dihedral_each(images.to(device), choices.symmetry[mine])
        self.optimiser.zero_grad(set_to_none=True)
        losses = []
        for index, x in zip(self.shares, images.split(len(self.shares[0])), strict=True):
            loss = self._loss(x, choices, index)
            self.scaler.scale(loss / len(self.shares)).backward()
            losses.append(loss.detach())
        self._update()
        self.step += 1
        self.images_seen += recipe.batch
        weights = [*self.ema.parameters()], [*self.unet.parameters()]
        torch._foreach_lerp_(*weights, 1 - recipe.ema_share(self.images_seen))
        return {"loss": torch.stack(losses).mean()}

    def _loss(self, x: Tensor, choices: Choices, index: Tensor) -> Tensor:
        device = self.world.device
        t, noise = choices.t[index].to(device), choices.noise[index].to(device)
        classes = None if self.classes is None else self.classes[choices.reals][index].to(device)
        noisy = self.schedule.add_noise(x, noise, t)
        velocity = self.schedule.config.prediction_type == "v_prediction"
        target = self.schedule.get_velocity(x, noise, t) if velocity else noise
        with self._autocast():
            found = self._predict(noisy, t, class_labels=classes).sample
        return (found.float() - target).square().mean()

    def _autocast(self) -> Any:
        half = self.recipe.precision != "float32"
        return torch.autocast(self.world.device.type, getattr(torch, self.recipe.precision) if half else None, half)

    def _update(self) -> None:
        warm = min((self.images_seen + self.recipe.batch) / max(self.recipe.warmup_kimg * 1000, 1e-8), 1.0)
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate * warm
        self.world.mean_gradients(self.parameters)
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()

    def save_generator(self, path: Path, metadata: dict[str, Any]) -> None:
        save_folder(path, self.ema, self.schedule, metadata)

    @torch.inference_mode()
    def sheet(self, rows: int = 4, columns: int = 8) -> Image.Image:
        device, rng, shape = self.world.device, torch.Generator().manual_seed(0), self.draw().noise.shape[1:]
        made = []
        for _ in range(rows):
            x = torch.randn(columns, *shape, generator=rng).to(device)
            drawn = torch.randint(0, len(self.data), (columns,), generator=rng)
            classes = None if self.classes is None else self.classes[drawn].to(device)

            def predict(x: Tensor, t: Tensor, classes: Tensor | None = classes) -> Tensor:
                with self._autocast():
                    found: Tensor = self.ema(x, t, class_labels=classes).sample
                return found.float()

            made.append(to_uint8(sample(predict, self.schedule, x, SHEET_STEPS)))
        return tiled(made)

    def state_dict(self) -> dict[str, Any]:
        parts = {name: getattr(self, name).state_dict() for name in _PARTS}
        plain = {"images_seen": self.images_seen, "step": self.step, "recipe": asdict(self.recipe)}
        configs = {"network": plain_settings(self.unet), "schedule": plain_settings(self.schedule)}
        return parts | plain | configs | {"format": 1, "family": "diffusion"}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where ``state`` was taken, at the learning rate of this run's recipe."""
        for name in _PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.images_seen, self.step = state["images_seen"], state["step"]


_PARTS = ("unet", "ema", "optimiser", "scaler")


def plain_settings(part: Any) -> dict[str, Any]:
    """The configuration of a part of diffusers, without its own notes."""
    return {name: value for name, value in dict(part.config).items() if not name.startswith("_")}


def new_schedule(recipe: Recipe) -> Any:
    """The noise that a recipe asks for, a ``DDPMScheduler``."""
    import diffusers

    return diffusers.DDPMScheduler(
        num_train_timesteps=STEPS,
        beta_schedule=SCHEDULES[recipe.schedule],
        prediction_type=PREDICTIONS[recipe.prediction],
    )


def new_unet(data: ImageDataset, network: dict[str, Any], recipe: Recipe) -> Any:
    """An untrained network for the data; the same recipe gives the same weights."""
    import diffusers

    torch.manual_seed(seed_of(recipe.seed, 0, 2**31))
    classes = data.label_dim or None
    return diffusers.UNet2DModel(
        in_channels=data.channels, out_channels=data.channels, num_class_embeds=classes, **network
    )
