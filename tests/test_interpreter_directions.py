"""Training in a map's strongest directions: fewer inputs, the same interpreter."""

import torch
from interpreter_world import CHANNELS, scene

from interpreters import Recipe, StyleInterpreter
from interpreters.directions import WIDEST, strongest
from interpreters.workers import Workers

CPU = torch.device("cpu")


def correlated(pixels: int, channels: int, rank: int, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(pixels, rank, generator=g) @ torch.randn(rank, channels, generator=g)


def test_what_the_strongest_directions_span_is_kept() -> None:
    x = torch.cat([correlated(300, 20, 4), correlated(300, 3, 3, seed=1)], 1)
    with Workers(CPU) as workers:
        directions = strongest(lambda: x.split(100), (20, 3), 4, torch.Generator().manual_seed(0), workers)
        reduced = directions.reduce(x, workers)
    assert directions.kept == [4, 3]
    assert torch.equal(reduced[:, 4:], x[:, 20:])  # a narrow map stays as it is
    torch.testing.assert_close(reduced[:, :4].square().mean(), torch.tensor(1.0))
    seen = torch.linalg.lstsq(reduced, x).solution
    torch.testing.assert_close(reduced @ seen, x, rtol=1e-3, atol=1e-3)


def test_a_layer_of_directions_is_a_layer_of_channels() -> None:
    x = torch.randn(200, 30, generator=torch.Generator().manual_seed(2))
    weight = torch.randn(2, 5 + 5 + 4, 7)
    with Workers(CPU) as workers:
        directions = strongest(lambda: [x], (14, 12, 4), 5, torch.Generator(), workers)
        layer = directions.reduce(x, workers) @ weight
    torch.testing.assert_close(layer, x @ directions.expand(weight), rtol=1e-4, atol=1e-4)


def test_silent_and_very_wide_maps_are_no_trouble() -> None:
    x = torch.cat([torch.zeros(40, 9), torch.randn(40, WIDEST + 1)], 1)
    with Workers(CPU) as workers:
        directions = strongest(lambda: [x], (9, WIDEST + 1), 4, torch.Generator(), workers)
    assert directions.channels == [9, WIDEST, 1]
    assert directions.kept == [4, 4, 1]
    assert directions.expand(torch.ones(1, 9, 1)).isfinite().all()


def test_an_eighth_of_the_directions_labels_as_well() -> None:
    def accuracy(directions: int) -> float:
        model = StyleInterpreter(CHANNELS, 3, members=3)
        recipe = Recipe(pixels_per_image=300, directions=directions, max_epochs=6)
        model.fit([scene(i) for i in range(6)], progress=False, recipe=recipe)
        new = [scene(i) for i in range(40, 44)]
        return sum((model.predict(maps).mask[0] == mask).float().mean().item() for maps, mask in new) / 4

    assert accuracy(3) > accuracy(24) - 0.02 > 0.85
