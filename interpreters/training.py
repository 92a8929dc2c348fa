"""Training all members of a Style-Interpreter at once."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from interpreters.errors import InputError
from interpreters.sampling import PixelTable, channel_statistics, collect

if TYPE_CHECKING:
    from interpreters.interpreter import StyleInterpreter


@dataclass(frozen=True)
class Recipe:
    """How to train. Defaults are DatasetGAN's (arXiv 2104.06490, section 4, and its released settings)
    but for early stopping, which looks at held-out pixels instead of the training loss."""

    pixels_per_image: int = 2048
    held_out: float = 0.1  # of the pixels, another tenth for each member
    batch_size: int = 64  # pixels per member and step
    learning_rate: float = 1e-3  # of Adam
    weight_decay: float = 0.0  # decoupled, on weights only
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
    if not 0 <= ignore_index <= 255 or ignore_index < model.num_classes:
        raise InputError(f"ignore index {ignore_index}: expected {model.num_classes} to 255, outside the class ids")
    generator = torch.Generator().manual_seed(seed)
    table = collect(model, samples, ignore_index, recipe.pixels_per_image, generator)
    model.feature_mean, model.feature_std = channel_statistics(table.features)
    for block in table.features.split(1024):
        block.copy_((block.float() - model.feature_mean) / model.feature_std)
    model.reset(seed)
    curves = _train(model, table, generator, progress, recipe)
    with torch.no_grad():  # what the file keeps is what is used from here on
        first = model.linears[0].weight
        first.copy_(first.half())
    return {"seed": seed, "recipe": asdict(recipe), "images": int(table.image.unique().numel()), **curves}


def _train(
    model: "StyleInterpreter", table: PixelTable, generator: torch.Generator, progress: bool, recipe: Recipe
) -> dict[str, Any]:
    pixels, members = len(table.labels), model.members
    held = max(1, round(recipe.held_out * pixels))
    order = torch.stack([torch.randperm(pixels, generator=generator) for _ in range(members)])
    validation, training = order[:, :held], order[:, held:].clone()
    batch = min(recipe.batch_size, training.shape[1])
    steps = training.shape[1] // batch
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    model.requires_grad_(True)
    best_loss = torch.full((members,), torch.inf)
    best_accuracy = torch.zeros(members)
    best_epoch = torch.zeros(members, dtype=torch.long)
    best = {name: t.clone() for name, t in model.state_dict().items()}
    train_curve, held_curve = [], []
    with tqdm(total=recipe.max_epochs * steps, desc="training", unit="step", disable=not progress, leave=False) as bar:
        for epoch in range(recipe.max_epochs):
            model.train()
            for m in range(members):
                training[m] = training[m][torch.randperm(training.shape[1], generator=generator)]
            running = torch.zeros(members)
            for step in range(steps):
                index = training[:, step * batch : (step + 1) * batch]
                logits = model(table.features[index].float())
                losses = cross_entropy(logits.movedim(-1, 1), table.labels[index].long(), reduction="none").mean(1)
                optimizer.zero_grad(set_to_none=True)
                losses.sum().backward()
                optimizer.step()
                running += losses.detach()
                bar.update()
            model.eval()
            loss, accuracy = _evaluate(model, table, validation)
            train_curve.append((running / steps).tolist())
            held_curve.append(loss.tolist())
            better = loss < best_loss
            for name, tensor in model.state_dict().items():
                if not name.startswith("feature_"):
                    best[name][better] = tensor[better]
            best_loss = torch.where(better, loss, best_loss)
            best_accuracy = torch.where(better, accuracy, best_accuracy)
            best_epoch[better] = epoch
            bar.set_postfix(held_out=f"{best_accuracy.mean():.4f}")
            if bool((epoch - best_epoch >= recipe.patience).all()):
                break
    model.load_state_dict(best)
    model.requires_grad_(False)
    return {
        "training_loss": train_curve,
        "held_out_loss": held_curve,
        "held_out_accuracy": best_accuracy.tolist(),
        "epochs": (best_epoch + 1).tolist(),
        "pixels": pixels,
    }


@torch.no_grad()
def _evaluate(model: "StyleInterpreter", table: PixelTable, index: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy and accuracy of each member on its own pixels."""
    loss, right = torch.zeros(model.members), torch.zeros(model.members)
    for part in index.split(256, 1):
        logits, labels = model(table.features[part].float()), table.labels[part].long()
        loss += cross_entropy(logits.movedim(-1, 1), labels, reduction="none").sum(1)
        right += (logits.argmax(-1) == labels).sum(1)
    return loss / index.shape[1], right / index.shape[1]
