"""Writes a label set's folder: only its own files, so that the old set or the new one is there at any moment."""

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.interpreters.checked_json import field, read_json
from labelfactory.interpreters.folders import updated_folder
from labelfactory.interpreters.labelset_checks import plain_name
from labelfactory.interpreters.labelset_reader import INDEX, VERSION
from labelfactory.interpreters.pictures import read_image, save_mask
from labelfactory.interpreters.samples import Contents
from labelfactory.limits import IGNORE_INDEX
from labelfactory.whole_files import whole_folder

FOLDERS = {"images": ".png", "masks": ".png", "latents": ".npy", "values": ".npy", "drawn": ".png"}


def write_label_set(labels: Contents, folder: str | os.PathLike[str], overwrite: bool) -> None:
    """Write ``labels`` as a new folder, or into the label set that is there. See ``LabelSet.save``."""
    root = Path(folder)
    if not (overwrite and root.is_dir() and any(root.iterdir())):
        with whole_folder(root) as fresh:
            for name in ("images", "masks"):
                (fresh / name).mkdir()
            for path, content in _files(labels, fresh):
                (fresh / path).parent.mkdir(exist_ok=True)
                (fresh / path).write_bytes(content)
        return
    if not (root / INDEX).is_file():
        raise InputError(f"{root}: exists and has no {INDEX}, so it is something else; name a new folder")
    own = own_files(root)
    written = set()
    with updated_folder(root) as update:
        for path, content in _files(labels, root):
            if path not in own and (root / path).exists():
                raise InputError(f"{root / path}: exists and is none of the label set's files; move it or name another")
            update.write(path, content)
            written.add(path)
        update.remove(own - written)


def own_files(root: Path) -> set[str]:
    """The files of the label set at ``root`` as its index names them, itself among them; what it cannot say is none."""
    own = {INDEX}
    try:
        data = read_json(root / INDEX)
        for i, entry in enumerate(field(data, "samples", list, INDEX)):
            where = f"{INDEX}: samples[{i}]"
            file = plain_name(field(entry, "file", str, where), ".png", where)
            own |= {f"images/{file}", f"masks/{file}"}
            for key, folder in (("latent", "latents"), ("values", "values"), ("drawn", "drawn")):
                if (name := field(entry, key, str, where, None)) is not None:
                    own.add(f"{folder}/{plain_name(name, FOLDERS[folder], where)}")
    except InputError:
        return {INDEX}
    return own


def _files(labels: Contents, root: Path) -> Iterator[tuple[str, bytes]]:
    """Path and content of every file, the index last. An image that is there already keeps its bytes."""
    entries = []
    for s in labels.samples:
        entry: dict[str, Any] = {"file": f"{s.name}.png"}
        path = f"images/{s.name}.png"
        yield path, _unchanged(root / path, s.image) or _image(s.image)
        mask = io.BytesIO()
        save_mask(mask, s.mask, labels.classes)
        yield f"masks/{s.name}.png", mask.getvalue()
        if s.origin is None:
            entry["photograph"] = True
        elif s.latent is None:
            entry["seed"] = s.seed
        else:
            entry["latent"] = f"{s.name}.npy"
            yield f"latents/{s.name}.npy", _array(s.latent)
        if s.condition is not None:
            entry["condition"] = s.condition
        if s.keypoints is not None:
            entry["keypoints"] = [[float(v) for v in point] for point in s.keypoints]
        if s.values is not None:
            entry["values"] = f"{s.name}.npy"
            yield f"values/{s.name}.npy", _array(s.values)
        if s.drawn is not None:
            entry |= {"drawn": f"{s.name}.png", "restored_by": s.restored_by}
            drawn = io.BytesIO()
            save_mask(drawn, s.drawn, labels.classes)
            yield f"drawn/{s.name}.png", drawn.getvalue()
        entries.append(entry)
    yield INDEX, (json.dumps(_header(labels) | {"samples": entries}, indent=2) + "\n").encode()


def _header(labels: Contents) -> dict[str, Any]:
    return {
        "version": VERSION,
        "classes": [{"name": c.name, "color": list(c.color), "thing": c.thing} for c in labels.classes],
        "ignore_index": IGNORE_INDEX,
        "generator": {"uri": labels.generator_uri, "sha256": labels.generator_sha256},
        "truncation": labels.truncation,
        **({"keypoints": list(labels.keypoints)} if labels.keypoints else {}),
        **({"values": [c.to_json() for c in labels.values]} if labels.values else {}),
        **({"crop": list(labels.crop.numbers)} if labels.crop else {}),
    }


def _unchanged(path: Path, image: np.ndarray) -> bytes | None:
    """The file's bytes where they already show ``image``: a picture that a person put there is not encoded again."""
    if not path.is_file():
        return None
    content = path.read_bytes()
    try:
        return content if np.array_equal(read_image(content), image) else None
    except InputError:
        return None


def _image(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(out, "png")
    return out.getvalue()


def _array(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array.astype("<f4"), allow_pickle=False)
    return out.getvalue()
