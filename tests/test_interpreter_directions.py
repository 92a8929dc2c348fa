"""Members see a map's strongest directions: fewer inputs, the same labels."""

import torch
from interpreter_world import CHANNELS, scene

from labelfactory.interpreters import Recipe, StyleInterpreter
from labelfactory.interpreters.directions import strongest
from labelfactory.interpreters.workers import Workers

CPU = torch.device("cpu")


def correlated(pixels: int, channels: int, rank: int, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(pixels, rank, generator=g) @ torch.randn(rank, channels, generator=g)


def test_what_the_strongest_directions_span_is_kept() -> None:
    loud = correlated(300, 20, 1) * 100
    x = torch.cat([loud + correlated(300, 20, 3, seed=2), correlated(300, 3, 3, seed=1)], 1)
    with Workers(CPU) as workers:
        basis, narrow = strongest(lambda: x.split(100), (20, 3), 4, torch.Generator().manual_seed(0), workers)
    assert narrow is None
    assert basis is not None
    wide = x[:, :20]
    reduced = wide @ basis
    torch.testing.assert_close(reduced.square().mean(), torch.tensor(1.0))
    assert reduced.square().mean(0).min() > 0.01  # turned: the principal directions' own loudness spans 10,000
    back = torch.linalg.lstsq(reduced, wide).solution
    torch.testing.assert_close(reduced @ back, wide, rtol=1e-2, atol=1e-1)


def test_a_silent_map_is_no_trouble() -> None:
    with Workers(CPU) as workers:
        bases = strongest(lambda: [torch.zeros(40, 9)], (9,), 4, torch.Generator(), workers)
    assert bases[0] is not None
    assert bases[0].isfinite().all()


def test_a_few_directions_label_as_well() -> None:
    def accuracy(directions: int) -> float:
        model = StyleInterpreter(CHANNELS, 3, members=3, directions=directions)
        model.fit([scene(i) for i in range(6)], progress=False, recipe=Recipe(pixels_per_image=300, max_epochs=6))
        assert model.linears[0].weight.shape[1] == sum(min(c, directions) for c in CHANNELS)
        new = [scene(i) for i in range(40, 44)]
        return sum((model.predict(maps).mask[0] == mask).float().mean().item() for maps, mask in new) / 4

    assert accuracy(3) > accuracy(24) - 0.02 > 0.85
