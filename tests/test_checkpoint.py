"""Checkpoints: what is official loads and computes the official numbers; what is hostile or broken never runs."""

import contextlib
import hashlib
import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from official_format import Golden, Module, official_modules, official_pickle

from labelfactory.errors import InputError
from labelfactory.factory.stylegan2_ada.checkpoint import load_checkpoint, save_safetensors
from labelfactory.factory.stylegan2_ada.networks import Discriminator, Generator

TINY = {
    "z_dim": 4,
    "c_dim": 0,
    "w_dim": 4,
    "img_resolution": 8,
    "img_channels": 1,
    "mapping_layers": 1,
    "channel_base": 16,
    "channel_max": 4,
    "conv_clamp": None,
}


def close(ours: torch.Tensor, official: torch.Tensor, tolerance: float = 1e-4) -> bool:
    return bool((ours - official).abs().max() < tolerance * official.abs().max())


@pytest.fixture(scope="module")
def tiny() -> tuple[Generator, Discriminator]:
    torch.manual_seed(0)
    size = {key: TINY[key] for key in ("c_dim", "img_resolution", "img_channels", "channel_base", "channel_max")}
    return Generator(**TINY), Discriminator(**size, mbstd_group_size=2)


@pytest.fixture(scope="module")
def tiny_pickle(tiny: tuple[Generator, Discriminator]) -> bytes:
    states = [network.state_dict() for network in tiny]
    return official_pickle(TINY | {"mbstd_group_size": 2}, *states)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", ["unconditional", "conditional"])
def test_an_official_pickle_computes_the_official_numbers(name: str, protocol: int, tmp_path: Path) -> None:
    golden = Golden(name)
    file = tmp_path / "network-snapshot.pkl"
    file.write_bytes(official_pickle(golden.config, golden.generator, golden.discriminator, protocol))
    loaded = load_checkpoint(file, sha256=hashlib.sha256(file.read_bytes()).hexdigest())

    psi, cutoff = float(golden.values["truncation_psi"]), int(golden.values["truncation_cutoff"])
    c = golden.values.get("c")
    ws = loaded.generator.mapping(golden.values["z"], c, psi, None if cutoff < 0 else cutoff)
    assert close(ws, golden.values["ws"])
    image = loaded.generator.synthesis(ws, noise_mode="const")
    assert close(image, golden.values["image_const_noise"])
    assert loaded.discriminator is not None
    assert close(loaded.discriminator(golden.values["image_const_noise"], c), golden.values["discriminator_logits"])
    expected = {key: value for key, value in golden.config.items() if key != "mbstd_group_size"}
    assert loaded.config.to_dict() == expected
    assert not loaded.generator.training
    assert loaded.metadata["format"] == "official"


def test_module_source_is_not_executed_and_leaves_nothing(tmp_path: Path, tiny: tuple) -> None:
    target = tmp_path / "owned"
    with official_modules():
        bad = Module("Generator", {"_parameters": {}}, module_src=f"open({str(target)!r}, 'w').write('x')")
        data = pickle.dumps({"G_ema": bad})
    file = tmp_path / "bad.pkl"
    file.write_bytes(data)
    with pytest.raises(InputError, match="does not say its z_dim"):
        load_checkpoint(file)
    assert not target.exists()


class Calls:
    """Asks the unpickler to call a function: what makes pickles dangerous."""

    def __init__(self, function: object, *args: object) -> None:
        self.reduced = (function, args)

    def __reduce__(self) -> tuple:
        return self.reduced


@pytest.mark.parametrize(
    ("hostile", "named"),
    [
        (lambda target: Calls(os.system, f"touch {target}"), "posix.system"),
        (lambda target: Calls(eval, f"open({str(target)!r}, 'w')"), "builtins.eval"),
        (lambda target: Calls(exec, f"open({str(target)!r}, 'w')"), "builtins.exec"),
        (lambda target: Calls(open, str(target), "w"), "io.open"),
        (lambda target: {"G_ema": [({"deep": Calls(os.system, f"touch {target}")},)]}, "posix.system"),
        (lambda target: Calls(getattr, Calls(__import__, "os"), "system"), "builtins.getattr"),
        (lambda target: Calls(torch.load, str(target)), "torch.serialization.load"),
    ],
)
def test_a_hostile_pickle_is_refused_with_the_name_it_asked_for(hostile, named: str, tmp_path: Path) -> None:
    target, file = tmp_path / "owned", tmp_path / "hostile.pkl"
    for protocol in (2, 4):
        file.write_bytes(pickle.dumps(hostile(target), protocol=protocol))
        with pytest.raises(InputError, match=f"it asks for {named}, ".replace(".", r"\.")) as error:
            load_checkpoint(file)
        assert str(file) in str(error.value)
        assert "\n" not in str(error.value)
        assert not target.exists()


def test_a_hostile_storage_inside_a_tensor_is_refused(tmp_path: Path) -> None:
    target, file = tmp_path / "owned", tmp_path / "hostile.pkl"
    inner = pickle.dumps(Calls(os.system, f"touch {target}"))
    file.write_bytes(pickle.dumps({"G_ema": Calls(torch.storage._load_from_bytes, inner)}))
    with pytest.raises(InputError):
        load_checkpoint(file)
    assert not target.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02ccollections\nOrderedDict\n(X\x01\x00\x00\x00aK\x01db.",  # BUILD on a class
        b"\x80\x02ccollections\nOrderedDict\n}X\x01\x00\x00\x00aK\x01s\x86b.",
        b"\x80\x02(ios\nsystem\n.",  # INST
        b"\x80\x02Ptouch\n.",  # persistent id
        b"\x80\x02\x82\x01.",  # extension registry
        b"\x80\x04\x8c\x02os\x8c\x06system\x93)R.",  # STACK_GLOBAL
        b"\x80\x04\x8c\x08builtins\x8c\x0b__import__.s\x93.",
        b"\x80\x02ctorch\nfloat32\n)R.",  # data called like a function
        b"\x80\x02]K\x01}s.",  # a list filled like a table
        b"\x80\x02K\x01r\xff\xff\xff\x7f.",  # the largest memo index
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fab.",  # 2**63 bytes announced
    ],
)
def test_odd_instructions_end_in_one_line(program: bytes, tmp_path: Path) -> None:
    file = tmp_path / "odd.pkl"
    file.write_bytes(program)
    with pytest.raises(InputError) as error:
        load_checkpoint(file)
    assert "\n" not in str(error.value)


def test_views_beyond_their_storage_are_refused(tmp_path: Path) -> None:
    small = torch.zeros(4)
    for size, stride, offset in [((1000,), (1,), 0), ((2**20, 2**20), (0, 0), 0), ((4,), (1,), 1)]:
        call = Calls(torch._utils._rebuild_tensor_v2, small.untyped_storage(), offset, size, stride, False, {})
        call.reduced = (
            call.reduced[0],
            (
                torch.storage.TypedStorage(wrap_storage=small.untyped_storage(), dtype=torch.float32, _internal=True),
                offset,
                size,
                stride,
                False,
                {},
            ),
        )
        file = tmp_path / "view.pkl"
        file.write_bytes(pickle.dumps({"G_ema": call}))
        with pytest.raises(InputError, match="larger than its storage"):
            load_checkpoint(file)


def test_broken_files_get_one_clear_line(tmp_path: Path, tiny_pickle: bytes, tiny: tuple) -> None:
    cases = {
        "empty.pkl": (b"", "is empty"),
        "page.pkl": (b"<!DOCTYPE html><html>Not found</html>", "web page"),
        "pointer.pkl": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        "image.pkl": (b"\x89PNG\r\n\x1a\n" + bytes(50), "is not a checkpoint"),
        "archive.pkl": (b"PK\x03\x04" + bytes(50), "zip archive"),
        "cut.pkl": (tiny_pickle[: len(tiny_pickle) // 2], "truncated or damaged"),
        "list.pkl": (pickle.dumps([1, 2]), "holds a list"),
        "other.pkl": (pickle.dumps({"model": 1}), "no network G_ema .found: model"),
    }
    for name, (data, line) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=line) as error:
            load_checkpoint(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="no such file"):
        load_checkpoint(tmp_path / "missing.pkl")
    with pytest.raises(InputError, match=r"folder|cannot be read"):
        load_checkpoint(tmp_path)
    with pytest.raises(InputError, match=r"cannot be read|another package"):
        load_checkpoint("nosuchprotocol://x/y.pkl")


def test_shapes_that_contradict_the_config_are_named(tmp_path: Path, tiny: tuple) -> None:
    state = tiny[0].state_dict()
    config = TINY | {"mbstd_group_size": 2}
    file = tmp_path / "x.pkl"
    for changed, line in [
        ({"synthesis.b8.conv1.weight": torch.zeros(3, 2, 3, 3)}, r"b8.conv1.weight has shape \[3, 2, 3, 3\]"),
        ({"synthesis.b8.conv1.bias": torch.tensor([float("nan"), 0.0])}, "not finite"),
        ({"synthesis.b8.extra": torch.zeros(1)}, "holds synthesis.b8.extra"),
    ]:
        file.write_bytes(official_pickle(config, state | changed))
        with pytest.raises(InputError, match=line):
            load_checkpoint(file)
    missing = {key: value for key, value in state.items() if key != "synthesis.b4.const"}
    file.write_bytes(official_pickle(config, missing))
    with pytest.raises(InputError, match=r"has no synthesis\.b4\.const"):
        load_checkpoint(file)
    file.write_bytes(official_pickle(config | {"img_resolution": 12}, state))
    with pytest.raises(InputError, match="img_resolution is 12"):
        load_checkpoint(file)
    file.write_bytes(official_pickle(config | {"img_resolution": 4096, "channel_base": 2**20}, state))
    with pytest.raises(InputError, match="shape"):  # and memory for 4096 x 4096 is never taken
        load_checkpoint(file)


def test_a_generator_loads_although_its_discriminator_is_of_another_kind(tmp_path: Path, tiny: tuple) -> None:
    generator, discriminator = (network.state_dict() for network in tiny)
    discriminator.pop("b8.skip.weight")
    file = tmp_path / "x.pkl"
    file.write_bytes(official_pickle(TINY | {"mbstd_group_size": 2}, generator, discriminator))
    loaded = load_checkpoint(file)
    assert loaded.discriminator is None
    assert "b8.skip.weight" in loaded.metadata["discriminator"]


def test_our_own_format_returns_the_same_networks(tmp_path: Path, tiny: tuple[Generator, Discriminator]) -> None:
    generator, discriminator = tiny
    file = tmp_path / "net.safetensors"
    digest = save_safetensors(file, generator, discriminator, {"licence": "CC0", "images_seen": 5})
    loaded = load_checkpoint(f"file://{file}", sha256=digest.upper())
    for mine, theirs in [(generator, loaded.generator), (discriminator, loaded.discriminator)]:
        assert theirs is not None
        assert mine.config == theirs.config
        for name, value in mine.state_dict().items():
            assert torch.equal(value, theirs.state_dict()[name])
    assert loaded.metadata == {"format": "labelfactory", "licence": "CC0", "images_seen": 5}
    assert loaded.sha256 == digest

    again = tmp_path / "again.safetensors"
    assert save_safetensors(again, generator, discriminator, {"images_seen": 5, "licence": "CC0"}) == digest
    half = tmp_path / "half.safetensors"
    save_safetensors(half, generator, dtype=torch.float16)
    assert half.stat().st_size < 0.7 * file.stat().st_size
    weights = load_checkpoint(half)
    assert weights.discriminator is None
    assert close(weights.generator.synthesis.b8.conv1.weight, generator.synthesis.b8.conv1.weight, 1e-3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "again.safetensors",
        "half.safetensors",
        "net.safetensors",
    ]


def test_urls_of_other_file_systems(tmp_path: Path, tiny: tuple[Generator, Discriminator]) -> None:
    save_safetensors(tmp_path / "x.safetensors", *tiny)
    with fsspec.open("memory://nets/x.safetensors", "wb") as file:
        file.write((tmp_path / "x.safetensors").read_bytes())
    assert load_checkpoint("memory://nets/x.safetensors").config.z_dim == 4
    with pytest.raises(InputError, match=r"memory://nets/y: no such file"):
        load_checkpoint("memory://nets/y")


def test_a_wrong_sum_is_named_before_anything_is_parsed(tmp_path: Path) -> None:
    file = tmp_path / "x.pkl"
    file.write_bytes(pickle.dumps(Calls(os.system, "true")))
    with pytest.raises(InputError, match=r"sha256 is .* expected 00"):
        load_checkpoint(file, sha256="00" * 32)


def test_saving_refuses_what_it_could_not_load(tmp_path: Path, tiny: tuple[Generator, Discriminator]) -> None:
    broken = Generator(**TINY)
    with torch.no_grad():
        broken.synthesis.b4.const[0] = 1e6
    with pytest.raises(InputError, match=r"b4.const is not finite in torch.float16"):
        save_safetensors(tmp_path / "x.safetensors", broken, dtype=torch.float16)
    with pytest.raises(InputError, match="JSON"):
        save_safetensors(tmp_path / "x.safetensors", broken, metadata={"a": object()})
    assert not list(tmp_path.iterdir())


WATCHED = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "socket.connect", "os.remove")
heard: list[str] | None = None


def _hear(event: str, args: tuple) -> None:
    if heard is not None and (event in WATCHED or (event == "open" and args[1] not in (None, "r", "rb"))):
        heard.append(f"{event} {args}")


@contextlib.contextmanager
def listening() -> Iterator[list[str]]:
    """What the interpreter is asked to do to the world outside, as its audit hooks tell."""
    global heard
    heard = []
    try:
        yield heard
    finally:
        heard = None


sys.addaudithook(_hear)


@pytest.fixture(scope="module")
def mutants(tmp_path_factory: pytest.TempPathFactory, tiny: tuple, tiny_pickle: bytes) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("originals")
    save_safetensors(folder / "x.safetensors", *tiny)
    hostile = pickle.dumps({"G_ema": Calls(os.system, f"touch {folder / 'owned'}")}, protocol=4)
    return {
        "official": tiny_pickle,
        "safetensors": (folder / "x.safetensors").read_bytes(),
        "hostile": hostile,
    }


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["official", "safetensors", "hostile"]),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_mutated_bytes_load_or_end_in_one_line(
    kind: str, edits: list[tuple[float, int]], cut: float, mutants: dict[str, bytes], tmp_path: Path
) -> None:
    data = bytearray(mutants[kind])
    for place, value in edits:
        data[int(place * len(data))] = value
    file = tmp_path / "mutant"
    file.write_bytes(data[: int(cut * len(data))])
    with listening() as events:
        message = ""
        try:
            loaded = load_checkpoint(file)
            assert loaded.config.img_resolution == 8
        except InputError as error:
            message = str(error)
    assert "\n" not in message
    assert events == []
