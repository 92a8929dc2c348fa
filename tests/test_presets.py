"""The table of presets is the papers', and recipes check themselves."""

import pytest
import torch

from labelfactory.errors import InputError
from labelfactory.factory.stylegan2_ada.presets import PRESETS, Recipe, preset
from labelfactory.factory.stylegan2_ada.snapshots import in_precision
from labelfactory.factory.training.parallel import share
from labelfactory.factory.training.precision import best_precision


def test_papers_rows() -> None:
    config_f = preset("stylegan2", 1024)
    assert (config_f.recipe.batch, config_f.recipe.r1_gamma, config_f.recipe.ema_kimg) == (32, 10, 10)
    assert config_f.network == {
        "z_dim": 512,
        "w_dim": 512,
        "mapping_layers": 8,
        "channel_base": 32768,
        "channel_max": 512,
    }
    small = preset("paper256", 256)
    assert (small.network["channel_base"], small.recipe.mbstd_group, small.recipe.learning_rate) == (16384, 8, 0.0025)
    assert preset("cifar", 32).recipe.pl_weight == 0
    for name in PRESETS:
        recipe = preset(name, 64).recipe
        assert (recipe.r1_interval, recipe.pl_interval, recipe.pl_decay, recipe.ada_target) == (16, 4, 0.01, 0.6)


@pytest.mark.parametrize(("resolution", "processes", "batch", "gamma"), [(64, 1, 32, 0.0256), (256, 8, 64, 0.2048)])
def test_auto_follows_resolution_and_processes(resolution: int, processes: int, batch: int, gamma: float) -> None:
    recipe = preset("auto", resolution, processes).recipe
    assert recipe.batch == batch
    assert recipe.r1_gamma == pytest.approx(gamma)  # 0.0002 resolution² / batch
    assert recipe.ema_kimg == batch * 10 / 32


def test_wrong_numbers_are_named() -> None:
    with pytest.raises(InputError, match="preset 'huge': expected one of auto"):
        preset("huge", 64)
    for change, line in [
        ({"batch": 0}, "batch is 0"),
        ({"batch": 6}, "multiple of the minibatch-std group 4"),
        ({"learning_rate": 2.0}, "learning_rate is 2"),
        ({"augment_p": 1.5}, "augment_p is 1.5"),
        ({"amplify": "all"}, "amplify 'all': expected one of none, mirror, dihedral"),
        ({"precision": "int8"}, "precision 'int8'"),
    ]:
        with pytest.raises(InputError, match=line):
            Recipe().changed(**change)
    recipe = Recipe(batch=64, ema_rampup=None)
    assert Recipe.from_dict(recipe.to_dict() | {"of another release": 1}) == recipe
    assert recipe.changed(batch=None, seed=3) == Recipe(batch=64, ema_rampup=None, seed=3)


def test_shares_hold_whole_groups_of_the_whole_batch() -> None:
    batch, group = 16, 4
    parts = [share(batch, group, 2, k) for k in (0, 1)]
    assert sorted(torch.cat(parts).tolist()) == list(range(16))
    whole = {frozenset(range(first, 16, 4)) for first in range(4)}
    for part in parts:
        groups = part.view(group, -1).T  # sample i, i + n/group, … are one group
        assert all(frozenset(row.tolist()) in whole for row in groups)
    assert [len(share(6, 4, 2, k)) for k in (0, 1)] == [3, 3]


def test_precision_is_the_devices_best_or_the_wish() -> None:
    assert best_precision("float32", torch.device("cpu")) == "float32"
    assert best_precision("auto", torch.device("cpu")) in ("float32", "bfloat16")
    assert in_precision("bfloat16", torch.device("cuda"), 4) == {"precision": "bfloat16", "half_resolutions": 4}
    assert in_precision("bfloat16", torch.device("cpu"), 4)["half_resolutions"] > 9
    with pytest.raises(InputError, match="precision 'int8'"):
        best_precision("int8", torch.device("cpu"))
