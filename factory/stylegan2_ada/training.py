"""A compact StyleGAN2 training loop: non-saturating loss, lazy R1, EMA, dihedral augmentation, resumable snapshots."""

import copy
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from factory.stylegan2_ada.networks import Discriminator, Generator, set_precision
from interpreters.shapes import Float, UInt8


@dataclass(frozen=True)
class TrainingConfig:
    """Learning rate, betas, lazy intervals: StyleGAN2 (arXiv 1912.04958, appendix B); EMA: StyleGAN2-ADA."""

    batch: int = 16
    learning_rate: float = 0.0025
    r1_gamma: float = 0.3
    r1_interval: int = 16
    ema_kimg: float = 10
    ema_rampup: float = 0.05
    half_dtype: str = "bfloat16"
    seed: int = 0


def dihedral(x: Tensor, rng: torch.Generator) -> Tensor:
    """Turns and mirrors each image of a square batch by a random element of the dihedral group: nuclei have no up."""
    k = torch.randint(0, 8, (x.shape[0],), generator=rng)
    out = torch.empty_like(x)
    for element in range(8):
        chosen = x[k == element]
        if element >= 4:
            chosen = chosen.flip(3)
        out[k == element] = torch.rot90(chosen, element % 4, (2, 3))
    return out


class Trainer:
    """All state of a run; ``state_dict`` is complete, so that a resumed run continues as if never stopped."""

    def __init__(self, images: UInt8[np.ndarray, "n h w c"], network: dict[str, int], config: TrainingConfig) -> None:
        self.images, self.config = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), config
        torch.manual_seed(config.seed)
        resolution, channels = images.shape[1], images.shape[3]
        sizes = {k: network[k] for k in ("channel_base", "channel_max")}
        self.generator = Generator(c_dim=0, img_resolution=resolution, img_channels=channels, **network)
        self.discriminator = Discriminator(c_dim=0, img_resolution=resolution, img_channels=channels, **sizes)
        self.ema = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.half_dtype = getattr(torch, config.half_dtype)
        for net in (self.generator, self.discriminator, self.ema):
            set_precision(net, self.half_dtype)
        lr, ratio = config.learning_rate, config.r1_interval / (config.r1_interval + 1)
        self.g_opt = torch.optim.Adam(self.generator.parameters(), lr=lr, betas=(0.0, 0.99), eps=1e-8, fused=True)
        # Lazy regularisation runs the optimiser 17 times for 16 minibatches: appendix B rescales its memory.
        self.d_opt = torch.optim.Adam(
            self.discriminator.parameters(), lr=lr * ratio, betas=(0.0, 0.99**ratio), eps=1e-8, fused=True
        )
        self.rng = torch.Generator().manual_seed(config.seed)
        self.images_seen = self.step = 0
        self.order, self.cursor = torch.randperm(len(self.images), generator=self.rng), 0

    def reals(self) -> Float[Tensor, "batch c h w"]:
        n = self.config.batch
        if self.cursor + n > len(self.order):
            self.order, self.cursor = torch.randperm(len(self.images), generator=self.rng), 0
        chosen = self.images[self.order[self.cursor : self.cursor + n]]
        self.cursor += n
        return dihedral(chosen, self.rng).float() / 127.5 - 1

    def latents(self) -> Float[Tensor, "batch z"]:
        return torch.randn(self.config.batch, self.generator.z_dim, generator=self.rng)

    def train_step(self) -> dict[str, float]:
        """One update of the discriminator, one of the generator, R1 every ``r1_interval`` steps, EMA."""
        stats: dict[str, float] = {}
        self.generator.requires_grad_(False)
        with torch.no_grad():
            fake = self.generator(self.latents())
        self.d_opt.zero_grad(set_to_none=True)
        real = self.reals()
        real_logits, fake_logits = self.discriminator(real), self.discriminator(fake)
        d_loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
        d_loss.backward()
        self.d_opt.step()
        stats |= {"d": d_loss.item(), "sign": real_logits.sign().mean().item()}
        if self.step % self.config.r1_interval == 0:
            stats["r1"] = self._regularise(self.reals())
        self.generator.requires_grad_(True)
        self.discriminator.requires_grad_(False)
        self.g_opt.zero_grad(set_to_none=True)
        g_loss = F.softplus(-self.discriminator(self.generator(self.latents()))).mean()
        g_loss.backward()
        self.g_opt.step()
        self.discriminator.requires_grad_(True)
        stats["g"] = g_loss.item()
        self.images_seen += self.config.batch
        self.step += 1
        self._update_ema()
        return stats

    def _regularise(self, real: Tensor) -> float:
        """R1 = gamma/2 E|grad D(x)|² on real images (arXiv 1801.04406, equation 9), in float32."""
        set_precision(self.discriminator, torch.float32)
        real = real.requires_grad_(True)
        (gradient,) = torch.autograd.grad(self.discriminator(real).sum(), real, create_graph=True)
        penalty = gradient.square().sum(dim=(1, 2, 3)).mean()
        self.d_opt.zero_grad(set_to_none=True)
        (penalty * (self.config.r1_gamma / 2 * self.config.r1_interval)).backward()
        self.d_opt.step()
        set_precision(self.discriminator, self.half_dtype)
        return penalty.item()

    @torch.no_grad()
    def _update_ema(self) -> None:
        half_life = min(self.config.ema_kimg * 1000, self.images_seen * self.config.ema_rampup)
        beta = 0.5 ** (self.config.batch / max(half_life, 1e-8))
        torch._foreach_lerp_(list(self.ema.parameters()), list(self.generator.parameters()), 1 - beta)
        for mine, theirs in zip(self.ema.buffers(), self.generator.buffers(), strict=True):
            mine.copy_(theirs)

    def state_dict(self) -> dict:
        nets = {k: getattr(self, k).state_dict() for k in ("generator", "discriminator", "ema", "g_opt", "d_opt")}
        plain = {k: getattr(self, k) for k in ("images_seen", "step", "order", "cursor")}
        rng = {"rng": self.rng.get_state(), "torch_rng": torch.get_rng_state()}
        return nets | plain | rng | {"config": asdict(self.config), "network": self.generator.config}

    def load_state_dict(self, state: dict) -> None:
        for k in ("generator", "discriminator", "ema", "g_opt", "d_opt"):
            getattr(self, k).load_state_dict(state[k])
        self.images_seen, self.step, self.order, self.cursor = (
            state[k] for k in ("images_seen", "step", "order", "cursor")
        )
        self.rng.set_state(state["rng"])
        torch.set_rng_state(state["torch_rng"])


def save_snapshot(trainer: Trainer, path: Path) -> None:
    """Written beside and renamed: a kill at any moment leaves the old snapshot or the new one."""
    temporary = path.with_suffix(".tmp")
    with open(temporary, "wb") as file:
        torch.save(trainer.state_dict(), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def train(trainer: Trainer, out: Path, kimg: float, snapshot_minutes: float = 3) -> None:
    """Runs to ``kimg`` thousand images, printing a line and writing a snapshot every few minutes."""
    saved = time.monotonic()
    seen, began = trainer.images_seen, saved
    while trainer.images_seen < kimg * 1000:
        stats = trainer.train_step()
        if not all(math.isfinite(v) for v in stats.values()):
            raise RuntimeError(
                f"loss is not finite at {trainer.images_seen} images; last good snapshot: {out}/snapshot.pt"
            )
        if time.monotonic() - saved > snapshot_minutes * 60:
            save_snapshot(trainer, out / "snapshot.pt")
            now = time.monotonic()
            rate = (trainer.images_seen - seen) / (now - began)
            line = " ".join(f"{k} {v:.3f}" for k, v in stats.items())
            print(f"{trainer.images_seen / 1000:.1f} kimg  {rate:.1f} images/s  {line}", flush=True)
            saved = now
    save_snapshot(trainer, out / "snapshot.pt")
