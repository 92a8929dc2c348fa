"""The map: no circle of imports, and the networks import where there is neither zarr, fsspec nor Prefect."""

import subprocess
import sys

import grimp
import networkx
import pytest

# What a bare GPU machine has no need of: with these missing, the parts below must import all the same.
ABSENT = (
    "zarr", "fsspec", "numcodecs", "zstandard", "google_crc32c", "jaxtyping", "prefect", "typer", "pydantic", "fastapi",
    "matplotlib", "scipy", "sklearn",
)  # fmt: skip


LIVE = "factory.production.live"


def test_no_circle_of_imports() -> None:
    graph = grimp.build_graph("labelfactory", cache_dir=None)
    arrows = [(a, b) for a in graph.modules for b in graph.find_modules_directly_imported_by(a)]
    circles = [sorted(c) for c in networkx.strongly_connected_components(networkx.DiGraph(arrows)) if len(c) > 1]
    assert circles == []


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


BARE = (
    "interpreters",
    "factory.generator",
    "factory.families",
    "factory.stylegan2_ada",
    "factory.training",
    "factory.translation.model",
    "factory.translation.restoring_method",
    "factory.translation.training",
    LIVE,
)


def test_networks_and_their_training_import_on_a_bare_machine() -> None:
    code = f"""
import importlib, pkgutil, sys
for name in {ABSENT!r}:
    sys.modules[name] = None
for package in {BARE!r}:
    module = importlib.import_module(f"labelfactory.{{package}}")
    for inside in pkgutil.iter_modules(getattr(module, "__path__", [])):
        if inside.name != "triton_kernel":
            importlib.import_module(f"labelfactory.{{package}}.{{inside.name}}")
"""
    run(code)


@pytest.mark.parametrize(
    "statement", ["import labelfactory", "import labelfactory.factory", "import labelfactory.interpreters"]
)
def test_importing_a_face_loads_no_torch(statement: str) -> None:
    assert run(f"{statement}; import sys; print('torch' in sys.modules, 'zarr' in sys.modules)") == "False False"


def test_every_public_name_is_there() -> None:
    import labelfactory
    from labelfactory import factory, interpreters, storage

    for face in (labelfactory, factory, interpreters, storage):
        assert len(set(face.__all__)) == len(face.__all__)
        for name in face.__all__:
            assert hasattr(face, name)
            assert name in dir(face)
