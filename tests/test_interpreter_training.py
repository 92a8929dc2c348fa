"""Training all members together is training each of them, only faster."""

import pytest
import torch
from interpreter_world import CHANNELS, scene
from torch import nn

from labelfactory.interpreters import InputError, Recipe, StyleInterpreter
from labelfactory.interpreters.layers import MemberStack
from labelfactory.interpreters.training import split, train_members
from labelfactory.progress import Progress


def one_member(stack: MemberStack, m: int) -> nn.Sequential:
    """Member m as anyone would write it."""
    layers: list[nn.Module] = []
    for linear, norm in zip(stack.linears, stack.norms, strict=False):
        layers += [nn.Linear(*linear.weight.shape[1:]), nn.ReLU(), nn.BatchNorm1d(norm.weight.shape[1])]
    layers.append(nn.Linear(*stack.linears[-1].weight.shape[1:]))
    member = nn.Sequential(*layers)
    with torch.no_grad():
        for plain, ours in zip([x for x in member if isinstance(x, nn.Linear)], stack.linears, strict=True):
            plain.weight.copy_(ours.weight[m].T)
            plain.bias.copy_(ours.bias[m])
    return member


def test_a_step_of_the_stack_is_a_step_of_each_member() -> None:
    generator = torch.Generator().manual_seed(3)
    stack = MemberStack(3, (20, 12, 7, 4))
    stack.reset(generator)
    members = [one_member(stack, m) for m in range(3)]
    together = torch.optim.Adam(stack.parameters(), lr=1e-2, fused=True)
    alone = [torch.optim.Adam(member.parameters(), lr=1e-2) for member in members]
    for _ in range(5):
        x = torch.randn(3, 16, 20, generator=generator)
        y = torch.randint(4, (3, 16), generator=generator)
        together.zero_grad()
        nn.functional.cross_entropy(stack.train()(x).movedim(-1, 1), y, reduction="none").mean(1).sum().backward()
        together.step()
        for m, (member, optimizer) in enumerate(zip(members, alone, strict=True)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(member.train()(x[m]), y[m]).backward()
            optimizer.step()
    for m, member in enumerate(members):
        torch.testing.assert_close(stack.eval()(x)[m], member.eval()(x[m]), rtol=1e-3, atol=1e-4)


def test_members_start_differently_and_leave_out_different_images() -> None:
    stack = MemberStack(2, (5, 4, 3))
    stack.reset([torch.Generator().manual_seed(m) for m in range(2)])
    assert not torch.equal(stack.linears[0].weight[0], stack.linears[0].weight[1])
    image = torch.arange(8).repeat_interleave(10)
    parts = split(image, 4, torch.Generator())
    left_out = [set(image[held].tolist()) for _, held in parts]
    assert set.union(*left_out) == set(range(8))
    assert all(len(s) == 2 for s in left_out)
    for training, held in parts:
        assert not set(image[training].tolist()) & set(image[held].tolist())
        assert len(training) + len(held) == len(image)


@pytest.mark.parametrize("images", [1, 3])
def test_too_few_images_leave_out_pixels_instead(images: int) -> None:
    image = torch.arange(images).repeat_interleave(20)
    for training, held in split(image, 3, torch.Generator()):
        assert len(held) == 2 * images
        assert sorted([*training.tolist(), *held.tolist()]) == list(range(20 * images))


def test_a_member_that_has_stopped_changes_no_other() -> None:
    """Labels of one member's held-out pixels are noise, so it stops first; the others go on as if it had never been."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(600, 8, generator=generator)
    labels = (inputs[:, 0] > 0).long()
    labels[:100] = 1 - labels[:100]
    good, bad = torch.arange(200, 300), torch.arange(100)
    parts = [(torch.arange(300, 600), held) for held in (good, bad, good)]
    stack = MemberStack(3, (8, 6, 2))
    generators = [torch.Generator().manual_seed(m) for m in range(3)]
    stack.reset(generators)
    recipe = Recipe(max_epochs=8, batch_size=32, learning_rate=1e-2)
    best, curves = train_members(stack, inputs, labels, parts, generators, recipe, Progress(disable=True), (9, 32))
    lengths = [len(c) for c in curves["held_out_loss"]]
    assert lengths[1] < min(lengths[0], lengths[2])
    assert curves["held_out_accuracy"][0] > 0.8 < curves["held_out_accuracy"][2]
    assert best["linears.0.weight"].shape == (3, 8, 6)
    for m in range(3):
        assert min(curves["held_out_loss"][m]) == curves["held_out_loss"][m][curves["epochs"][m] - 1]


def test_the_report_tells_what_happened() -> None:
    model = StyleInterpreter(CHANNELS, 3, members=3)
    report = model.fit([scene(i) for i in range(5)], progress=False, recipe=Recipe(pixels_per_image=200, max_epochs=3))
    assert (report["images"], report["pixels"]) == (5, 1000)
    assert len(report["training_loss"]) == len(report["held_out_loss"]) == 3
    assert report["training_loss"][0][-1] < report["training_loss"][0][0]
    assert min(report["held_out_accuracy"]) > 0.8
    assert report["seconds"]["training"] > 0
    assert model.report == {k: v for k, v in report.items() if k != "seconds"}


def test_features_on_disk_train_the_same_interpreter() -> None:
    def train_with(cache_bytes: int) -> str:
        model = StyleInterpreter(CHANNELS, 3, members=2)
        recipe = Recipe(pixels_per_image=100, max_epochs=1, cache_bytes=cache_bytes)
        model.fit([scene(i) for i in range(4)], progress=False, recipe=recipe)
        model.report = {}
        return model.sha256

    assert train_with(10**9) == train_with(0)


def test_the_number_of_cores_does_not_change_the_file() -> None:
    def train_on(threads: int) -> str:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            model = StyleInterpreter(CHANNELS, 3, members=7)
            model.fit((scene(i) for i in range(4)), progress=False, recipe=Recipe(pixels_per_image=100, max_epochs=3))
        finally:
            torch.set_num_threads(before)
        return model.sha256

    assert train_on(1) == train_on(2)


@pytest.mark.parametrize("wrong", [{"batch_size": 1}, {"learning_rate": 0.0}, {"max_epochs": 0}])
def test_a_recipe_that_cannot_work_is_refused(wrong: dict) -> None:
    with pytest.raises(InputError, match="recipe: "):
        Recipe(**wrong)


def test_ignore_index_must_not_be_a_class() -> None:
    with pytest.raises(InputError, match="ignore index 2"):
        StyleInterpreter(CHANNELS, 3).fit([scene(0)], ignore_index=2)
