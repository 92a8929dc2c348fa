"""An interpreter is trained once for the same labels, generator and settings."""

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_world import TinyWorld

from labelfactory.errors import InputError
from labelfactory.factory.cache import cache_dir
from labelfactory.factory.heads.classes import InterpreterSettings, ensure_interpreter
from labelfactory.factory.labels.feature_maps import load_labels
from labelfactory.interpreters import InputError as LabelError
from labelfactory.interpreters import Recipe, StyleInterpreter

FAST = InterpreterSettings(members=2, recipe=Recipe(max_epochs=2))


def test_reused_until_something_differs(tiny_world: TinyWorld, tmp_path: Path) -> None:
    labels = load_labels(tiny_world.labels)

    def ensure(labels=labels, settings: InterpreterSettings = FAST) -> tuple[Path, bool]:
        return ensure_interpreter(tiny_world.generator, labels, settings, tmp_path, progress=False)[:2]

    path, reused = ensure()
    assert not reused
    assert ensure() == (path, True)
    other_seed = ensure(settings=replace(FAST, seed=1))
    mask = labels.samples[0].mask.copy()
    mask[0, 0] = 1 - mask[0, 0]
    one_pixel = ensure(replace(labels, samples=(labels.samples[0]._replace(mask=mask), *labels.samples[1:])))
    assert len({path, other_seed[0], one_pixel[0]}) == 3
    assert not other_seed[1]
    assert not one_pixel[1]
    interpreter = StyleInterpreter.load(path)
    assert interpreter.generator_sha256 == tiny_world.generator.sha256
    assert [c["name"] for c in interpreter.classes] == ["background", "bright"]


def test_a_damaged_file_is_made_again(tiny_world: TinyWorld, tmp_path: Path) -> None:
    labels = load_labels(tiny_world.labels)
    path, *_ = ensure_interpreter(tiny_world.generator, labels, FAST, tmp_path, progress=False)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    again, reused, *_ = ensure_interpreter(tiny_world.generator, labels, FAST, tmp_path, progress=False)
    assert (again, reused) == (path, False)
    assert path.read_bytes() == whole


def test_labels_of_another_generator_are_refused(tiny_world: TinyWorld, tmp_path: Path) -> None:
    labels = replace(load_labels(tiny_world.labels), generator_sha256="1" * 64)
    with pytest.raises(LabelError, match="labels belong to generator"):
        ensure_interpreter(tiny_world.generator, labels, FAST, tmp_path)


def test_cache_that_cannot_be_made(tiny_world: TinyWorld, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="LABELFACTORY_CACHE"):
        ensure_interpreter(
            tiny_world.generator, load_labels(tiny_world.labels), FAST, tmp_path / "file", progress=False
        )


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABELFACTORY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_dir() == Path("/somewhere/labelfactory")
    monkeypatch.setenv("LABELFACTORY_CACHE", "/chosen")
    assert cache_dir() == Path("/chosen")


@pytest.mark.parametrize(("name", "value"), [("members", 0), ("members", 65), ("seed", -1)])
def test_settings_have_ranges(name: str, value: int) -> None:
    with pytest.raises(InputError, match=str(value)):
        replace(InterpreterSettings(), **{name: value})
