"""Nobody's file is replaced: what the factory wrote is listed or says so, everything else is somebody's."""

from pathlib import Path

import pytest

from labelfactory.errors import InputError
from labelfactory.ownership import LIST, claim, owned, says_so


def test_what_is_not_listed_is_somebodys(tmp_path: Path) -> None:
    claim(tmp_path / "out", ["a.png", "masks/b.png"])
    for name in ("a.png", "masks/b.png"):
        (tmp_path / "out" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "out" / name).write_text("ours")
    claim(tmp_path / "out", ["masks/b.png", "c.png"])
    assert owned(tmp_path / "out" / "a.png")
    (tmp_path / "out" / "thesis.png").write_text("mine")
    before = (tmp_path / "out" / LIST).read_bytes()
    with pytest.raises(InputError, match=r"thesis\.png: exists already and is not the factory's"):
        claim(tmp_path / "out", ["d.png", "thesis.png"])
    assert (tmp_path / "out" / LIST).read_bytes() == before
    assert not owned(tmp_path / "out" / "thesis.png")
    (tmp_path / "out" / "link.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"link\.png"):
        claim(tmp_path / "out", ["link.png"])


@pytest.mark.parametrize("content", ["", "[]", "{", '{"files": 3}', '{"files": [["a"]]}', "[" * 100_000])
def test_a_list_that_says_nothing_owns_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / LIST).write_text(content)
    (tmp_path / "a").write_text("mine")
    with pytest.raises(InputError, match="not the factory's"):
        claim(tmp_path, ["a"])


def test_model_files_of_any_version_say_so(tmp_path: Path) -> None:
    old = Path(__file__).parent / "data" / "v0.1"
    files = sorted(old.glob("*.safetensors"))
    assert len(files) == 6
    for path in files:
        assert says_so(path)
    for content in (
        b"",
        b"text",
        b"\xff" * 30,
        (5).to_bytes(8, "little") + b"{...}",
        (2).to_bytes(8, "little") + b"{}",
    ):
        (tmp_path / "x").write_bytes(content)
        assert not says_so(tmp_path / "x")
    assert not says_so(tmp_path)
    assert not says_so(tmp_path / "nowhere")
