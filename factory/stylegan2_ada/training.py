"""Training of StyleGAN2-ADA: one step of both networks.

A run is a function of its recipe, its data and the step number: what is random in a step comes from (seed, step) and is
drawn for the whole batch. So a resumed run repeats the uninterrupted one, and processes that share a batch train as
one process would.
"""

import copy
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.pixels import to_uint8
from labelfactory.factory.stylegan2_ada.checkpoint import save_safetensors
from labelfactory.factory.stylegan2_ada.draws import Choices, FakeChoices, draw_choices
from labelfactory.factory.stylegan2_ada.losses import logistic_fake, logistic_real, path_lengths, r1_penalty
from labelfactory.factory.stylegan2_ada.networks import Discriminator, Generator, set_precision
from labelfactory.factory.stylegan2_ada.presets import Recipe
from labelfactory.factory.symmetry import dihedral_each, element
from labelfactory.factory.training.adaptive_augment import AdaController, AugmentPipe, augment
from labelfactory.factory.training.dataset import ImageDataset
from labelfactory.factory.training.draws import real_indices, seed_of
from labelfactory.factory.training.parallel import World, share
from labelfactory.factory.training.trainer import Trainer, tiled
from labelfactory.interpreters.array_types import Float

ADA_INTERVAL = 4  # minibatches between two moves of p (StyleGAN2-ADA, section 3.1)


class StyleGAN2Trainer(Trainer):
    """Both networks, the generator's moving average, optimisers, adaptive augmentation.

    ``micro`` splits this process's part of a batch into as many pieces, where memory is short. Raises ``InputError``
    where networks and data do not fit together (both shapes are named) or the batch cannot be split so.
    """

    made, ending = "generator.safetensors", ".safetensors"
    remedy = "a lower learning rate or a higher gamma"
    recipe: Recipe

    def __init__(
        self,
        data: ImageDataset,
        networks: tuple[Generator, Discriminator],
        recipe: Recipe,
        world: World | None = None,
        micro: int = 1,
    ) -> None:
        self.data, self.recipe = data, recipe
        self.world = world or World(0, 1, torch.device("cpu"))
        self.generator: Generator = networks[0].train().to(self.world.device)
        self.discriminator: Discriminator = networks[1].train().to(self.world.device)
        self._check()
        self.shares = [
            share(recipe.batch, recipe.mbstd_group, self.world.size * micro, k)
            for k in range(self.world.rank * micro, (self.world.rank + 1) * micro)
        ]
        size = len(self.shares[0])
        if recipe.batch % (self.world.size * micro) or size % min(recipe.mbstd_group, size):
            raise InputError(
                f"batch {recipe.batch} cannot be split into {self.world.size} processes x {micro} micro-batches "
                f"of whole groups of {recipe.mbstd_group}; choose a batch that is a multiple of all three"
            )
        self.silence(self.generator)
        self.ema = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.generator.requires_grad_(True)
        self.discriminator.requires_grad_(True)
        for layer in first_layers(self.discriminator, recipe.freeze_d):
            layer.requires_grad_(False)
        self.g_parameters = list(self.generator.parameters())
        self.d_parameters = _trainable(self.discriminator, recipe.freeze_d)
        self.g_opt = torch.optim.Adam(self.g_parameters, **self._adam(recipe.pl_weight, recipe.pl_interval))
        self.d_opt = torch.optim.Adam(self.d_parameters, **self._adam(recipe.r1_gamma, recipe.r1_interval))
        self.pipe = AugmentPipe(recipe.augment)
        fixed = recipe.augment_p is not None or recipe.augment == "none"
        self.ada = AdaController(recipe.augment_p or 0.0, recipe.ada_target, recipe.ada_kimg, fixed)
        self.pl_mean = torch.zeros([], device=self.world.device)
        self.signs = torch.zeros([], device=self.world.device)
        self.images_seen = self.step = 0
        self._half(True)
        self._synthesise: Callable[..., Tensor] = self.generator.synthesis
        self._judge: Callable[..., Tensor] = self.discriminator

    def compile(self, backend: str = "inductor") -> None:
        """From here on both networks' own steps run compiled, the first of them for minutes.

        R1 and path length differentiate gradients, which compiled code cannot: they stay with the plain networks.
        Raises ``InputError`` where PyTorch would need a C++ compiler and finds none.
        """
        if backend == "inductor" and self.world.device.type == "cpu":
            known = (os.environ.get("CXX"), "g++", "clang++")
            if not any(name and shutil.which(name) for name in known):
                raise InputError("compile: PyTorch needs g++ or clang++ for it on a CPU; install one or leave it out")
        self._synthesise = torch.compile(self.generator.synthesis, backend=backend, dynamic=False)
        self._judge = torch.compile(self.discriminator, backend=backend, dynamic=False)

    @torch.no_grad()
    def silence(self, generator: Generator) -> None:
        """A run without noise leaves nothing of it in the weights either: samplers add the constant noise."""
        self.noise_mode = "random" if self.recipe.noise else "none"
        for name, value in generator.named_parameters():
            if name.endswith("noise_strength") and not self.recipe.noise:
                value.zero_()

    def _check(self) -> None:
        data = [self.data.channels, self.data.resolution, self.data.resolution]
        for name, network in (("generator", self.generator), ("discriminator", self.discriminator)):
            shape = [network.img_channels, network.img_resolution, network.img_resolution]
            if shape != data:
                raise InputError(f"the {name} works on images of shape {shape}, the data's are {data}")
            if network.c_dim != self.data.label_dim:
                raise InputError(f"the {name} has {network.c_dim} classes, the data has {self.data.label_dim}")

    def _adam(self, weight: float, interval: int) -> dict[str, Any]:
        """Adam (0, 0.99). A network regularised every n steps makes n + 1 updates in n: appendix B of StyleGAN2
        shortens its steps and its memory accordingly."""
        ratio = interval / (interval + 1) if weight else 1.0
        rate, fused = self.recipe.learning_rate * ratio, self.world.device.type in ("cpu", "cuda")
        return {"lr": rate, "betas": (0.0, 0.99**ratio), "eps": 1e-8, "fused": fused}

    def _half(self, wanted: bool) -> None:
        """The recipe's precision, or float32."""
        dtype = getattr(torch, self.recipe.precision) if wanted else torch.float32
        for network in (self.generator, self.discriminator, self.ema):
            body = network.synthesis if isinstance(network, Generator) else network
            set_precision(network, dtype, min(self.recipe.half_resolutions, len(body.resolutions)))

    def train_step(self) -> dict[str, Tensor]:
        """One update of the discriminator and one of the generator, each regularised now and then; then the moving
        average of weights and the strength of augmentation.

        Returns means over this process's samples: losses ``d`` and ``g``, penalties ``r1`` and ``path``, ``sign`` of
        D(real).
        """
        recipe = self.recipe
        choices = draw_choices(
            recipe,
            self.step,
            self.images_seen,
            self.data.labels,
            self.pipe,
            self.ada.p,
            self.generator.z_dim,
            self.generator.num_ws,
        )
        torch.manual_seed(seed_of(recipe.seed, self.step, self.world.rank + 1))  # noise inside the generator
        reals = self._reals(choices)
        stats = self._train_discriminator(choices, reals)
        if recipe.r1_gamma and self.step % recipe.r1_interval == 0:
            stats["r1"] = self._regularise_discriminator(choices, reals)
        self.discriminator.requires_grad_(False)
        stats["g"] = self._train_generator(choices)
        if recipe.pl_weight and self.step % recipe.pl_interval == 0:
            stats["path"] = self._regularise_generator(choices)
        for parameter in self.d_parameters:
            parameter.requires_grad_(True)
        self.step += 1
        self.images_seen += recipe.batch
        self._follow(stats["sign"])
        return stats

    def _train_discriminator(self, choices: Choices, reals: list[Tensor]) -> dict[str, Tensor]:
        self.d_opt.zero_grad(set_to_none=True)
        losses, signs = [], []
        for index, real in zip(self.shares, reals, strict=True):
            with torch.no_grad():
                fake = self._fakes(choices.fakes_d, index)
            fake_loss = logistic_fake(self._logits(fake, choices.fakes_d, index))
            (fake_loss / len(self.shares)).backward()
            logits = self._judge(augment(real, choices.draws[index]), self._labels(choices, index))
            real_loss = logistic_real(logits)
            (real_loss / len(self.shares)).backward()
            losses.append(fake_loss.detach() + real_loss.detach())
            signs.append(logits.detach().sign().mean())
        self._update(self.d_opt, self.d_parameters)
        return {"d": torch.stack(losses).mean(), "sign": torch.stack(signs).mean()}

    def _train_generator(self, choices: Choices) -> Tensor:
        self.g_opt.zero_grad(set_to_none=True)
        losses = []
        for index in self.shares:
            loss = logistic_real(self._logits(self._fakes(choices.fakes_g, index), choices.fakes_g, index))
            (loss / len(self.shares)).backward()
            losses.append(loss.detach())
        self._update(self.g_opt, self.g_parameters)
        return torch.stack(losses).mean()

    def _regularise_discriminator(self, choices: Choices, reals: list[Tensor]) -> Tensor:
        """R1, lazily (StyleGAN2, appendix B), in the recipe's precision: on a trained discriminator the cosine of its
        bfloat16 gradient with float32's was 0.9995, at half the time."""
        self.d_opt.zero_grad(set_to_none=True)
        penalties = []
        for index, images in zip(self.shares, reals, strict=True):
            real = images.detach().requires_grad_(True)
            logits = self.discriminator(augment(real, choices.draws[index]), self._labels(choices, index))
            penalty = r1_penalty(real, logits)
            (penalty * (self.recipe.r1_gamma / 2 * self.recipe.r1_interval / len(self.shares))).backward()
            penalties.append(penalty.detach())
        self._update(self.d_opt, self.d_parameters)
        return torch.stack(penalties).mean()

    def _regularise_generator(self, choices: Choices) -> Tensor:
        """(|J^T y| - a)², a the moving mean of the lengths (StyleGAN2, equation 4), lazily, on a part of a batch.

        In float32 instead of bfloat16, in which its gradient was off (cosine 0.87 with float32's).
        """
        self._half(self.recipe.precision == "float16")
        self.g_opt.zero_grad(set_to_none=True)
        few = len(choices.z_path)
        total = torch.zeros([], device=self.world.device)
        penalties = [total]
        for index in self.shares:
            index = index[index < few]
            if not len(index):
                continue
            z, labels = (part[index].to(self.world.device) for part in (choices.z_path, choices.labels_path))
            ws = self.generator.mapping(z, labels if self.generator.c_dim else None)
            images = self.generator.synthesis(ws, noise_mode=self.noise_mode)
            y = torch.stack([self._path_noise(int(i), images[0].shape) for i in index])
            lengths = path_lengths(images, ws, y)
            goal = self.pl_mean.lerp(lengths.detach().mean(), self.recipe.pl_decay)
            penalty = (lengths - goal).square().sum() / few
            (penalty * (self.recipe.pl_weight * self.recipe.pl_interval * self.world.size)).backward()
            total = total + lengths.detach().sum()
            penalties.append(penalty.detach() * self.world.size)
        self.pl_mean.lerp_(self.world.sum_(total) / few, self.recipe.pl_decay)
        self._update(self.g_opt, self.g_parameters)
        self._half(True)
        return torch.stack(penalties).sum()

    def _path_noise(self, sample: int, shape: torch.Size) -> Tensor:
        """y of one sample, the same whichever process draws it."""
        seed = seed_of(self.recipe.seed, self.step, 2**32 + sample)
        rng = torch.Generator(self.world.device).manual_seed(seed)
        return torch.randn(shape, generator=rng, device=self.world.device)

    def _update(self, optimiser: torch.optim.Adam, parameters: list[torch.nn.Parameter]) -> None:
        for parameter in parameters:
            if parameter.grad is None:  # so that all processes send the same message
                parameter.grad = torch.zeros_like(parameter)
        self.world.mean_gradients(parameters, finite=self.recipe.precision == "float16")
        optimiser.step()

    def _logits(self, fakes: Tensor, choices: FakeChoices, index: Tensor) -> Tensor:
        return self._judge(augment(fakes, choices.draws[index]), choices.labels[index].to(self.world.device))

    def _labels(self, choices: Choices, index: Tensor) -> Tensor:
        return self.data.labels[choices.reals][index].to(self.world.device)

    def _fakes(self, choices: FakeChoices, index: Tensor) -> Float[Tensor, "samples channels height width"]:
        device, generator = self.world.device, self.generator
        labels = choices.labels[index].to(device) if generator.c_dim else None
        ws = generator.mapping(choices.z[index].to(device), labels)
        if choices.mix_from < generator.num_ws:
            generator.mapping.eval()  # the second latent does not enter the average w
            other = generator.mapping(choices.z_mix[index].to(device), labels)
            generator.mapping.train()
            ws = torch.cat([ws[:, : choices.mix_from], other[:, choices.mix_from :]], dim=1)
        return self._synthesise(ws, noise_mode=self.noise_mode)

    def _reals(self, choices: Choices) -> list[Float[Tensor, "samples channels height width"]]:
        """Images of this process's shares, turned and mirrored as the data is amplified."""
        mine, batch = torch.cat(self.shares), self.recipe.batch
        coming = real_indices(len(self.data), self.images_seen + batch, batch, self.recipe.seed)
        images = self.data.float_batch([choices.reals[i] for i in mine], then=[coming[i] for i in mine])
        turned = dihedral_each(images.to(self.world.device), element(choices.flip[mine], choices.turns[mine]))
        return list(turned.split(len(self.shares[0])))

    @torch.no_grad()
    def _follow(self, sign: Tensor) -> None:
        """Moving averages: of w over the processes, of the weights, of D's certainty."""
        average = self.generator.mapping.w_avg
        average.copy_(self.world.sum_(average.clone()) / self.world.size)
        torch._foreach_lerp_(
            [*self.ema.parameters()], [*self.generator.parameters()], 1 - self.recipe.ema_share(self.images_seen)
        )
        for mine, theirs in zip(self.ema.buffers(), self.generator.buffers(), strict=True):
            mine.copy_(theirs)
        self.signs += sign
        if self.step % ADA_INTERVAL == 0:
            r_t = float(self.world.sum_(self.signs)) / (ADA_INTERVAL * self.world.size)
            self.ada.observe(r_t, ADA_INTERVAL * self.recipe.batch)
            self.signs.zero_()

    def networks(self) -> list[torch.nn.Module]:
        return [self.generator, self.discriminator, self.ema]

    def shown(self, stats: dict[str, float]) -> dict[str, float]:
        """Losses, overfitting, strength of augmentation."""
        return {k: v for k, v in stats.items() if k != "sign"} | {"r_t": self.ada.r_t, "p": self.ada.p}

    def numbers(self) -> str:
        recipe = self.recipe
        strength = "adaptive" if recipe.augment_p is None else f"p {recipe.augment_p:g}"
        parts = [f"batch {recipe.batch}", f"learning rate {recipe.learning_rate:g}", f"gamma {recipe.r1_gamma:g}"]
        parts += [f"EMA {recipe.ema_kimg:g} kimg", f"augmentation {recipe.augment} ({strength})"]
        parts += [f"path length {recipe.pl_weight:g}", f"noise {'on' if recipe.noise else 'off'}"]
        return ", ".join([*parts, f"seed {recipe.seed}"])

    def save_generator(self, path: Path, metadata: dict[str, Any]) -> None:
        save_safetensors(path, self.ema, self.discriminator, metadata)

    @torch.no_grad()
    def sheet(self, rows: int = 6, columns: int = 10) -> Image.Image:
        generator, labels = self.ema, self.data.labels
        n, rng = rows * columns, torch.Generator().manual_seed(0)
        z = torch.randn(n, generator.z_dim, generator=rng)
        c = labels[torch.randint(0, len(labels), (n,), generator=rng)]
        images = []
        for z_part, c_part in zip(z.split(columns), c.split(columns), strict=True):
            c_given = c_part.to(self.world.device) if generator.c_dim else None
            images.append(to_uint8(generator(z_part.to(self.world.device), c_given, noise_mode="const")))
        return tiled(images)

    def state_dict(self) -> dict[str, Any]:
        nets = {name: getattr(self, name).state_dict() for name in _PARTS}
        plain = {"images_seen": self.images_seen, "step": self.step, "p": self.ada.p, "r_t": self.ada.r_t}
        own = {"pl_mean": self.pl_mean.cpu(), "signs": self.signs.cpu(), "recipe": asdict(self.recipe)}
        configs = {"network": self.generator.config, "discriminator_config": self.discriminator.config}
        return nets | plain | own | configs | {"format": 2}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where ``state`` was taken; learning rates and frozen layers stay those of this run's recipe."""
        for name in _PARTS:
            part, values = getattr(self, name), state[name]
            if isinstance(part, torch.optim.Optimizer):
                values = {"param_groups": part.state_dict()["param_groups"], "state": values["state"]}
            if name == "d_opt":  # its moments are numbered by what was trained then
                frozen = state["recipe"].get("freeze_d", 0)
                then = {id(p): i for i, p in enumerate(_trainable(self.discriminator, frozen))}
                places = [then.get(id(p)) for p in self.d_parameters]
                moments = {i: values["state"][j] for i, j in enumerate(places) if j in values["state"]}
                values["state"] = moments
            part.load_state_dict(values)
        self.silence(self.generator)
        self.silence(self.ema)
        self.images_seen, self.step = state["images_seen"], state["step"]
        if not self.ada.fixed:
            self.ada.p = state["p"]
        self.ada.r_t = state["r_t"]
        self.pl_mean.copy_(state["pl_mean"])
        self.signs.copy_(state["signs"])


_PARTS = ("generator", "discriminator", "ema", "g_opt", "d_opt")


def first_layers(discriminator: Discriminator, count: int) -> list[torch.nn.Module]:
    """The discriminator's first layers from the image on, which Freeze-D keeps (arXiv 2002.10964)."""
    layers: list[torch.nn.Module] = []
    for resolution in discriminator.resolutions:
        block = getattr(discriminator, f"b{resolution}")
        layers += [layer for layer in (block.fromrgb, block.conv0, block.conv1, block.skip) if layer is not None]
    return layers[:count]


def _trainable(discriminator: Discriminator, freeze_d: int) -> list[torch.nn.Parameter]:
    frozen = {id(p) for layer in first_layers(discriminator, freeze_d) for p in layer.parameters()}
    return [p for p in discriminator.parameters() if id(p) not in frozen]


def clamp_of(recipe: Recipe) -> float | None:
    """float16 overflows without a clamp (StyleGAN2-ADA, appendix C)."""
    return 256.0 if recipe.precision == "float16" else None


def new_networks(data: ImageDataset, network: dict[str, int], recipe: Recipe) -> tuple[Generator, Discriminator]:
    """Untrained networks for the data; the same recipe gives the same weights."""
    torch.manual_seed(seed_of(recipe.seed, 0, 2**31))
    common: dict[str, Any] = {"img_resolution": data.resolution, "img_channels": data.channels}
    common |= {"c_dim": data.label_dim, "conv_clamp": clamp_of(recipe)}
    sizes = {name: network[name] for name in ("channel_base", "channel_max")}
    return Generator(**common, **network), Discriminator(**common, **sizes, mbstd_group_size=recipe.mbstd_group)
