"""Training all members of a Style-Interpreter at once, in bounded memory."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from interpreters.errors import InputError
from interpreters.feature_cache import FeatureCache
from interpreters.layers import MemberStack
from interpreters.sampling import LabelledPixels, channel_statistics, collect
from interpreters.shapes import Float, Int
from interpreters.subspace import principal_subspace

if TYPE_CHECKING:
    from interpreters.interpreter import StyleInterpreter


@dataclass(frozen=True)
class Recipe:
    """How to train."""

    pixels_per_image: int = 2048
    cache_bytes: int = 2**30  # feature vectors beyond this go to a temporary file
    subspace: int = 512  # principal directions that members see; 0 means all channels
    whitening: float = 0.0
    batch_size: int = 64  # pixels per member and step
    learning_rate: float = 1e-3  # of Adam
    weight_decay: float = 0.0  # decoupled
    label_smoothing: float = 0.0
    noise: float = 0.0
    dropout: float = 0.0
    schedule: str = "constant"
    hold_out: str = "image"
    max_epochs: int = 20
    patience: int = 3  # epochs without a lower held-out loss before a member stops


def fit(
    model: "StyleInterpreter",
    samples: Iterable[tuple[Sequence[Tensor], Tensor]],
    ignore_index: int,
    seed: int,
    progress: bool,
    recipe: Recipe,
) -> dict[str, Any]:
    """See ``StyleInterpreter.fit``."""
    if not model.num_classes <= ignore_index <= 255:
        raise InputError(f"ignore index {ignore_index}: expected {model.num_classes} to 255, outside the class ids")
    generator = torch.Generator().manual_seed(seed)
    cache = FeatureCache(recipe.cache_bytes)
    try:
        pixels = collect(model, samples, ignore_index, recipe.pixels_per_image, generator, cache)
        mean, std = channel_statistics(cache)

        def standardised() -> Iterator[Tensor]:
            return ((block - mean) / std for block in cache)

        basis = None
        if 0 < recipe.subspace < len(mean):
            basis, variance = principal_subspace(standardised, len(mean), recipe.subspace, generator)
            basis = basis * (variance / variance[0]).clamp_min(1e-6).pow(-recipe.whitening / 2)
        inputs = torch.cat([x if basis is None else x @ basis for x in standardised()])
    finally:
        cache.close()
    stack = MemberStack(model.members, (inputs.shape[1], *model.hidden, model.num_classes))
    stack.reset(generator)
    curves = train(stack, inputs, pixels, generator, progress, recipe)
    with torch.no_grad():
        state = stack.state_dict()
        if basis is not None:
            state["linears.0.weight"] = basis @ state["linears.0.weight"]
        state["linears.0.weight"] = state["linears.0.weight"].half().float()  # what the file keeps is what is used
        std = std.where(std.isfinite(), 1e30)
        model.load_state_dict({**state, "feature_mean": mean, "feature_std": std})
    images = int(pixels.image.unique().numel())
    return {"seed": seed, "recipe": asdict(recipe), "images": images, "pixels": len(inputs), **curves}


def split(
    image: Int[Tensor, "pixels"], members: int, by: str, generator: torch.Generator
) -> list[tuple[Tensor, Tensor]]:
    """Training and held-out pixels of each member: whole images in turn, a tenth of the pixels of fewer than four."""
    names = image.unique()
    if by == "image" and len(names) >= 4:
        folds = min(len(names), members)
        fold_of = torch.empty(int(names.max()) + 1, dtype=torch.long)
        fold_of[names[torch.randperm(len(names), generator=generator)]] = torch.arange(len(names)) % max(folds, 2)
        return [
            (torch.nonzero(fold_of[image] != m % folds)[:, 0], torch.nonzero(fold_of[image] == m % folds)[:, 0])
            for m in range(members)
        ]
    held = max(1, len(image) // 10)
    orders = [torch.randperm(len(image), generator=generator) for _ in range(members)]
    return [(order[held:], order[:held]) for order in orders]


def train(
    stack: MemberStack,
    inputs: Float[Tensor, "pixels dims"],
    pixels: LabelledPixels,
    generator: torch.Generator,
    progress: bool,
    recipe: Recipe,
) -> dict[str, Any]:
    members = stack.linears[0].weight.shape[0]
    parts = split(pixels.image, members, recipe.hold_out, generator)
    labels = pixels.labels.long()
    count = min(len(training) for training, _ in parts)
    batch = min(recipe.batch_size, count)
    steps = count // batch
    stack.requires_grad_(True)
    optimizer = torch.optim.AdamW(
        stack.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    total = recipe.max_epochs * steps
    best_loss = torch.full((members,), torch.inf)
    best_accuracy, best_epoch = torch.zeros(members), torch.zeros(members, dtype=torch.long)
    best = {name: t.clone() for name, t in stack.state_dict().items()}
    train_curve: list[list[float]] = []
    held_curve: list[list[float]] = []
    with tqdm(total=total, desc="training", unit="step", disable=not progress, leave=False) as bar:
        for epoch in range(recipe.max_epochs):
            stack.train()
            order = torch.stack([p[torch.randperm(len(p), generator=generator)[: steps * batch]] for p, _ in parts])
            running = torch.zeros(members)
            for index in order.split(batch, 1):
                if recipe.schedule == "cosine":
                    optimizer.param_groups[0]["lr"] = (
                        recipe.learning_rate * 0.5 * (1 + torch.cos(torch.tensor(bar.n / total * torch.pi)).item())
                    )
                x = inputs[index]
                if recipe.noise:
                    x = x + recipe.noise * torch.randn(x.shape, generator=generator)
                if recipe.dropout:
                    x = x * (torch.rand(x.shape, generator=generator) > recipe.dropout) / (1 - recipe.dropout)
                losses = cross_entropy(
                    stack(x).movedim(-1, 1),
                    labels[index],
                    reduction="none",
                    label_smoothing=recipe.label_smoothing,
                ).mean(1)
                optimizer.zero_grad(set_to_none=True)
                losses.sum().backward()
                optimizer.step()
                running += losses.detach()
                bar.update()
                bar.n = bar.n
            stack.eval()
            loss, accuracy = evaluate(stack, inputs, labels, [held for _, held in parts])
            train_curve.append((running / steps).tolist())
            held_curve.append(loss.tolist())
            better = loss < best_loss if recipe.patience else torch.ones(members, dtype=torch.bool)
            for name, tensor in stack.state_dict().items():
                best[name][better] = tensor[better]
            best_loss = torch.where(better, loss, best_loss)
            best_accuracy = torch.where(better, accuracy, best_accuracy)
            best_epoch[better] = epoch
            bar.set_postfix(held_out=f"{best_accuracy.mean():.4f}")
            if recipe.patience and bool((epoch - best_epoch >= recipe.patience).all()):
                break
    stack.load_state_dict(best)
    return {
        "training_loss": train_curve,
        "held_out_loss": held_curve,
        "held_out_accuracy": best_accuracy.tolist(),
        "epochs": (best_epoch + 1).tolist(),
    }


@torch.no_grad()
def evaluate(
    stack: MemberStack, inputs: Float[Tensor, "pixels dims"], labels: Int[Tensor, "pixels"], parts: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy and accuracy of each member on its own pixels."""
    members = len(parts)
    loss, right, seen = torch.zeros(members), torch.zeros(members), torch.zeros(members)
    longest = max(len(p) for p in parts)
    index = torch.stack([torch.nn.functional.pad(p, (0, longest - len(p)), value=-1) for p in parts])
    for part in index.split(256, 1):
        logits, target = stack(inputs[part.clamp_min(0)]), labels[part.clamp_min(0)].masked_fill(part < 0, -100)
        loss += cross_entropy(logits.movedim(-1, 1), target, reduction="none").sum(1)
        right += (logits.argmax(-1) == target).sum(1)
        seen += (part >= 0).sum(1)
    return loss / seen, right / seen
