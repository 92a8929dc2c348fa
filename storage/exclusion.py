"""Samples that somebody looked at and does not want: a list beside the store, which stays as it is."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from labelfactory.errors import InputError
from labelfactory.storage.spec import DatasetSpec

LIMIT = 2**30  # bytes of a list


def read_list(path: str | Path, *fields: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The suspects of a list (``suspects.json`` of ``factory audit``), which all have ``fields``, and the whole list.

    Raises InputError for a file that is no such list.
    """
    file = Path(path)
    if not file.is_file() or file.stat().st_size > LIMIT:
        raise InputError(f"{path}: no such list; expected suspects.json of `factory audit`")
    try:
        listed = json.loads(file.read_bytes())
        suspects = listed["suspects"]
        good = isinstance(suspects, list) and all(name in suspect for suspect in suspects for name in fields)
    except (ValueError, KeyError, TypeError):
        good = False
    if not good:
        raise InputError(f"{path}: is no list of suspects; expected suspects.json of `factory audit`")
    return suspects, listed


def read_exclusion(path: str | Path, spec: DatasetSpec) -> Int[np.ndarray, "n"]:
    """Indices of the samples that a list names.

    Raises InputError for a file that is no such list, for a list of another store, and for an index that the store
    does not have.
    """
    suspects, listed = read_list(path, "index")
    if "spec_hash" not in listed:
        raise InputError(f"{path}: is no list of suspects; expected suspects.json of `factory audit`")
    if listed["spec_hash"] != spec.hash:
        owner = str(listed["spec_hash"])[:12]
        raise InputError(f"{path}: is a list for another data set ({owner}); this one is {spec.hash[:12]}")
    indices = [suspect["index"] for suspect in suspects]
    wrong = [i for i in indices if type(i) is not int or not 0 <= i < spec.count]
    if wrong:
        raise InputError(f"{path}: names sample {str(wrong[0])[:20]}; expected 0 to {spec.count - 1}")
    return np.array(sorted(set(indices)), np.int64)
