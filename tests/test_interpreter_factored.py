"""Factored inference equals the definition for every shape, layer count, budget and number of threads."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from interpreter_world import CHANNELS, SIZES, calm, scene

from labelfactory.interpreters import InputError, Recipe, StyleInterpreter, factored
from labelfactory.interpreters.folding import fold
from labelfactory.interpreters.workers import Workers


def disturbed(
    channels: tuple[int, ...],
    classes: int,
    members: int,
    hidden: tuple[int, ...] | None,
    seed: int,
    directions: int = 3,
) -> StyleInterpreter:
    """An interpreter none of whose statistics and norms are neutral."""
    model = StyleInterpreter(channels, classes, members, hidden, directions)
    g = torch.Generator().manual_seed(seed)
    model.feature_mean.normal_(generator=g)
    model.feature_std.uniform_(0.5, 2, generator=g)
    for basis in model.bases:
        if basis is not None:
            basis.normal_(generator=g)
    for linear in model.linears:
        linear.bias.data.normal_(generator=g)
    for norm in model.norms:
        norm.weight.data.uniform_(-1, 2, generator=g)
        norm.bias.data.normal_(generator=g)
        norm.running_mean.normal_(generator=g)
        norm.running_var.uniform_(0.3, 3, generator=g)
    return model


side = st.integers(1, 40)


@calm
@given(
    sizes=st.lists(st.tuples(side, side), min_size=1, max_size=4),
    hidden=st.sampled_from([(), (8,), (16, 8), (6, 5, 4)]),
    members=st.integers(1, 5),
    batch=st.integers(1, 3),
    budget=st.sampled_from([1, 20_000, 2**28]),
)
def test_equal_for_every_shape_and_budget(
    sizes: list[tuple[int, int]], hidden: tuple[int, ...], members: int, batch: int, budget: int
) -> None:
    channels = tuple(range(3, 3 + len(sizes)))
    model = disturbed(channels, 4, members, hidden, seed=len(sizes))
    maps = [torch.randn(batch, c, *size) for c, size in zip(channels, sizes, strict=True)]
    fast, plain = model.predict(maps, budget=budget), model.predict_reference(maps)
    assert (fast.mask == plain.mask).float().mean() > 0.99  # ties of random members within rounding
    assert (fast.uncertainty - plain.uncertainty).abs().max() < 1e-3
    torch.testing.assert_close(fast.score, plain.score, rtol=1e-3, atol=1e-4)


def test_thirty_four_classes_take_the_wider_layers() -> None:
    model = disturbed((6, 5), 34, 10, None, seed=1)
    assert model.hidden == (256, 128)
    maps = [torch.randn(1, 6, 5, 5), torch.randn(1, 5, 37, 20)]
    fast, plain = model.predict(maps), model.predict_reference(maps)
    assert (fast.mask == plain.mask).float().mean() > 0.99
    assert (fast.uncertainty - plain.uncertainty).abs().max() < 1e-3


def test_folding_is_exact_and_follows_changes() -> None:
    model = disturbed((4,), 3, 2, (5,), seed=2)
    maps = [torch.randn(1, 4, 6, 6)]
    model.predict(maps)
    with torch.no_grad():
        model.linears[1].weight.mul_(-1)
    assert torch.equal(model.predict(maps).mask, model.predict_reference(maps).mask)
    folded = fold(model, torch.float64, torch.device("cpu"))
    x = torch.randn(7, 4).double()
    [reducer] = folded.reducers
    assert reducer is not None
    reduced = (x.float() @ reducer[0].T + reducer[1].T).double()
    h = (reduced @ folded.first + folded.first_bias.sum(0)).view(7, 2, 5).transpose(0, 1).relu()
    plain = model(model.inputs(x.float()).expand(2, 7, 3))
    torch.testing.assert_close(h.float() @ folded.hidden[0][0] + folded.hidden[0][1], plain, rtol=1e-4, atol=1e-4)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_two_cores_give_what_one_gives(two_threads: None) -> None:
    model = disturbed(CHANNELS, 3, 4, (16, 8), seed=3)
    maps = [torch.randn(3, c, s, s) for c, s in zip(CHANNELS, (4, 8, 8, 33, 66), strict=True)]
    both = model.predict(maps)
    torch.set_num_threads(1)
    one = model.predict(maps)
    torch.set_num_threads(2)
    assert torch.equal(both.mask, one.mask)
    assert torch.equal(both.uncertainty, one.uncertainty)


def test_a_failing_job_is_heard(two_threads: None) -> None:
    def job(i: int) -> None:
        if i == 3:
            raise RuntimeError("job 3")

    with pytest.raises(RuntimeError, match="job 3"), Workers(torch.device("cpu")) as workers:
        workers.run(job, [(i,) for i in range(5)])


def test_low_precision_stays_within_its_bounds() -> None:
    """On a trained interpreter, as the bounds are meant."""
    model = StyleInterpreter(CHANNELS, 3, members=5)
    model.fit([scene(i) for i in range(5)], progress=False, recipe=Recipe(pixels_per_image=400, max_epochs=3))
    maps = [torch.cat(f) for f in zip(*(scene(i)[0] for i in range(60, 64)), strict=True)]
    plain = model.predict_reference(maps)
    for precision in ("float16", "bfloat16"):
        low = model.predict(maps, precision=precision)
        assert (low.mask == plain.mask).float().mean() >= 0.995
        assert (low.uncertainty - plain.uncertainty).abs().max() < 1e-2


def test_working_memory_follows_the_budget_not_the_resolution() -> None:
    """The plan for 1024 px: what is kept, what each worker holds and its tiles stay near the budget."""
    channels, sizes = (8,) * 5, (64, 128, 256, 512, 1024)
    model = StyleInterpreter(channels, 20)
    maps = [torch.empty(1, 8, s, s) for s in sizes]
    for budget in (2**27, 2**28):
        call = factored._Call(model, maps, (1024, 1024), torch.float32, budget, workers=2)
        unit_bytes = 4 * call.units
        kept = sum(v.height * v.width for v in call.lower[: call.kept]) * unit_bytes
        assert kept + 2 * call._band_bytes(unit_bytes) < 1.5 * budget
        assert sum(v.height * v.width for v in call.lower) * unit_bytes > 5 * budget


def test_values_that_are_not_finite_are_refused() -> None:
    model = StyleInterpreter(CHANNELS, 3, members=2)
    maps, _ = scene(1)
    maps[2][0, 0, 0, 0] = float("nan")
    with pytest.raises(InputError, match="not finite"):
        model.predict(maps)


def test_unknown_precision_is_refused() -> None:
    maps = [torch.zeros(1, c, s, s) for c, s in zip(CHANNELS, SIZES, strict=True)]
    with pytest.raises(InputError, match="precision 'int4'"):
        StyleInterpreter(CHANNELS, 3).predict(maps, precision="int4")
