"""Training all members of a Style-Interpreter at once, in bounded memory."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Float, Int
from labelfactory.interpreters.directions import strongest
from labelfactory.interpreters.ensemble import Ensemble
from labelfactory.interpreters.feature_cache import FeatureCache
from labelfactory.interpreters.layers import MemberStack
from labelfactory.interpreters.pixels import channel_statistics, collect, groups_of
from labelfactory.interpreters.workers import Workers
from labelfactory.progress import Progress

PIXELS_A_VIEW = 256
# Members that one core trains together: enough for efficient products, and the same on every number of cores,
# because sums over another number of members are rounded otherwise.
GROUP = 5


@dataclass(frozen=True)
class Recipe:
    """How to train. Optimiser, rate and batch are DatasetGAN's (arXiv 2104.06490, section 4 and its released settings).

    Early stopping differs: there, the training loss decides; here, images that a member has not seen
    (docs/interpreter.md has the measurements).
    """

    pixels_per_image: int = 1024
    batch_size: int = 64  # pixels per member and step
    learning_rate: float = 1e-3  # of Adam
    max_epochs: int = 20
    patience: int = 2  # epochs without a lower held-out loss before a member stops
    cache_bytes: int = 2**30  # feature vectors beyond this are kept in a temporary file

    def __post_init__(self) -> None:
        for name, low in (("pixels_per_image", 1), ("batch_size", 2), ("max_epochs", 1), ("patience", 1)):
            if getattr(self, name) < low:
                raise InputError(f"recipe: {name} is {getattr(self, name)}; expected {low} or more")
        if not 0 < self.learning_rate < 1:
            raise InputError(f"recipe: learning_rate is {self.learning_rate}; expected more than 0, less than 1")


def fit(
    model: Ensemble,
    samples: Iterable[tuple[Sequence[Tensor], Tensor]],
    ignore_index: int,
    seed: int,
    progress: bool,
    recipe: Recipe,
    groups: Sequence[int] | None = None,
) -> dict[str, Any]:
    """See ``StyleInterpreter.fit``."""
    if not model.outputs <= ignore_index <= 255:
        raise InputError(f"ignore index {ignore_index}: expected {model.outputs} to 255, outside the class ids")
    generator = torch.Generator().manual_seed(seed)
    cache, started = FeatureCache(recipe.cache_bytes), time.perf_counter()
    try:
        pixels = recipe.pixels_per_image if groups is None else _pixels_a_view(recipe.pixels_per_image, groups)
        labels, image = collect(model, samples, ignore_index, pixels, generator, cache)
        image = groups_of(image, groups)
        collected = time.perf_counter()
        with Workers(torch.device("cpu")) as workers:  # sums split between threads would depend on their number
            mean, std = channel_statistics(cache)
            standardised = lambda: ((block - mean) / std for block in cache)  # noqa: E731
            channels = model.feature_channels
            bases = strongest(standardised, channels, model.directions, generator, workers)
            model.set_inputs(mean, std, bases)
            inputs = cache.table(model.linears[0].weight.shape[1], model.inputs)
    finally:
        cache.close()
    parts = split(image, model.members, generator)
    best, curves = _train_groups(model, inputs, labels, parts, seed, progress, recipe)
    # what the file keeps is what is used from here on
    best["linears.0.weight"] = best["linears.0.weight"].half().float()
    model.load_state_dict({**model.state_dict(), **best})
    return {
        "seed": seed,
        "recipe": asdict(recipe),
        "images": int(image.unique().numel()),
        "pixels": len(inputs),
        "steps_per_epoch": _steps(parts, recipe)[0],
        **curves,
        "seconds": {"features": collected - started, "training": time.perf_counter() - collected},
    }


def _train_groups(
    model: Ensemble,
    inputs: Tensor,
    labels: Tensor,
    parts: list[tuple[Tensor, Tensor]],
    seed: int,
    progress: bool,
    recipe: Recipe,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Groups of members on the CPU's cores; all members together on a GPU."""
    device = model.feature_mean.device
    inputs, labels = inputs.to(device), labels.long().to(device)
    results: dict[int, tuple[dict[str, Tensor], dict[str, Any]]] = {}
    with Workers(device) as workers, Progress(desc="training", unit="step", disable=not progress, leave=False) as bar:
        groups = [g.tolist() for g in torch.arange(model.members).split(GROUP if device.type == "cpu" else 64)]
        plan = _steps(parts, recipe)
        bar.total = recipe.max_epochs * plan[0] * len(groups)

        def job(i: int) -> None:
            generators = [torch.Generator().manual_seed(_mix(seed, m)) for m in groups[i]]
            stack = MemberStack(len(groups[i]), (inputs.shape[1], *model.hidden, model.outputs))
            stack.reset(generators)
            with torch.enable_grad():
                own = [parts[m] for m in groups[i]]
                results[i] = train_members(
                    stack.to(device), inputs, labels, own, generators, recipe, bar, _steps(parts, recipe)
                )

        workers.run(job, [(i,) for i in range(len(groups))])
    states, curves = zip(*(results[i] for i in range(len(groups))), strict=True)
    merged = {name: torch.cat([state[name] for state in states]) for name in states[0]}
    return merged, {name: [value for c in curves for value in c[name]] for name in curves[0]}


def _pixels_a_view(pixels: int, groups: Sequence[int]) -> int:
    """Views of a picture share its pixels, down to a quarter: more of them brought 0.3 of mIoU for twice the time."""
    return max(pixels * len(set(groups)) // max(1, len(groups)), min(pixels, PIXELS_A_VIEW))


def _mix(seed: int, member: int) -> int:
    """Another seed for each member, far from those of neighbouring seeds."""
    return (seed * 0x9E3779B97F4A7C15 + member + 1) % 2**63


def _steps(parts: list[tuple[Tensor, Tensor]], recipe: Recipe) -> tuple[int, int]:
    """Steps an epoch, and pixels a step: equal for all members."""
    count = min(len(training) for training, _ in parts)
    batch = min(recipe.batch_size, count)
    return count // batch, batch


def split(image: Int[Tensor, "pixels"], members: int, generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    """Training and held-out pixels of each member.

    Members leave out different images, so that every image teaches most members and the held-out accuracy is that
    of images never seen: pixels of one image resemble each other too much to tell. Below four images every
    image is needed, and a tenth of the pixels is left out.
    """
    names = image.unique()
    if len(names) < 4:
        orders = [torch.randperm(len(image), generator=generator) for _ in range(members)]
        held = max(1, len(image) // 10)
        return [(order[held:], order[:held]) for order in orders]
    folds = max(2, min(len(names), members))
    fold = torch.empty(int(names.max()) + 1, dtype=torch.long)
    fold[names[torch.randperm(len(names), generator=generator)]] = torch.arange(len(names)) % folds
    left_out = [fold[image] == m % folds for m in range(members)]
    return [(torch.nonzero(~out)[:, 0], torch.nonzero(out)[:, 0]) for out in left_out]


def train_members(
    stack: MemberStack,
    inputs: Float[Tensor, "pixels channels"],
    labels: Int[Tensor, "pixels"],
    parts: list[tuple[Tensor, Tensor]],
    generators: Sequence[torch.Generator],
    recipe: Recipe,
    bar: Progress,
    plan: tuple[int, int],
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Adam on each member's own pixels in its own order until its held-out loss stops falling.

    Members that have stopped leave the stack, so the rest goes on faster. Returns each member's best weights and the
    learning curves.
    """
    (steps, batch), device = plan, labels.device
    best = {name: t.clone() for name, t in stack.state_dict().items()}
    best_loss = torch.full((len(parts),), torch.inf)
    best_epoch = torch.zeros(len(parts), dtype=torch.long)
    accuracy_at_best = torch.zeros(len(parts))
    loss_curves: list[list[float]] = [[] for _ in parts]
    held_curves: list[list[float]] = [[] for _ in parts]
    alive = torch.arange(len(parts))
    optimizer = torch.optim.Adam(stack.parameters(), lr=recipe.learning_rate, fused=True)
    for epoch in range(recipe.max_epochs):
        orders = [
            parts[m][0][torch.randperm(len(parts[m][0]), generator=generators[m])][: steps * batch]
            for m in alive.tolist()
        ]
        running = torch.zeros(len(alive), device=device)
        stack.train()
        for index in torch.stack(orders).to(device).split(batch, 1):
            losses = _losses(stack(inputs[index].float()), labels[index]).mean(1)
            optimizer.zero_grad(set_to_none=True)
            losses.sum().backward()
            optimizer.step()
            running += losses.detach()
            bar.update()
        stack.eval()
        loss, accuracy = evaluate(stack, inputs, labels, [parts[m][1] for m in alive.tolist()])
        for m, a, b in zip(alive.tolist(), (running / steps).tolist(), loss.tolist(), strict=True):
            loss_curves[m].append(a)
            held_curves[m].append(b)
        better = loss < best_loss[alive]
        winners = alive[better]
        for name, tensor in stack.state_dict().items():
            best[name][winners.to(device)] = tensor[better.to(device)]
        best_loss[winners], accuracy_at_best[winners], best_epoch[winners] = loss[better], accuracy[better], epoch
        keep = epoch - best_epoch[alive] < recipe.patience
        if not bool(keep.any()):
            break
        if not bool(keep.all()):
            alive = alive[keep]
            _narrow(stack, optimizer, torch.nonzero(keep)[:, 0].to(device))
    return best, {
        "training_loss": loss_curves,
        "held_out_loss": held_curves,
        "held_out_accuracy": accuracy_at_best.tolist(),
        "epochs": (best_epoch + 1).tolist(),
    }


def _losses(logits: Tensor, labels: Tensor) -> Float[Tensor, "members pixels"]:
    return cross_entropy(logits.movedim(-1, 1), labels, reduction="none")


@torch.no_grad()
def evaluate(
    stack: MemberStack, inputs: Float[Tensor, "pixels channels"], labels: Int[Tensor, "pixels"], parts: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy and accuracy of each member on its own pixels."""
    device = labels.device
    longest = max(len(p) for p in parts)
    index = torch.stack([nn.functional.pad(p, (0, longest - len(p)), value=-1) for p in parts]).to(device)
    loss, right = torch.zeros(len(parts), device=device), torch.zeros(len(parts), device=device)
    for part in index.split(256, 1):
        logits = stack(inputs[part.clamp_min(0)].float())
        target = labels[part.clamp_min(0)].masked_fill(part < 0, -100)
        loss += _losses(logits, target).sum(1)
        right += (logits.argmax(-1) == target).sum(1)
    seen = torch.tensor([len(p) for p in parts])
    return loss.cpu() / seen, right.cpu() / seen


def _narrow(stack: MemberStack, optimizer: torch.optim.Optimizer, keep: Int[Tensor, "kept"]) -> None:
    """Drop members from the stack and from the optimiser's averages."""
    for module in (*stack.linears, *stack.norms):
        for name, old in list(module.named_parameters()):
            new = nn.Parameter(old.detach()[keep])
            state = optimizer.state.pop(old)
            optimizer.state[new] = {k: v[keep] if v.ndim else v for k, v in state.items()}
            setattr(module, name, new)
        for name, buffer in list(module.named_buffers()):
            setattr(module, name, buffer[keep])
    optimizer.param_groups[0]["params"] = list(stack.parameters())
