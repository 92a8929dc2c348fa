"""Samples that somebody looked at and does not want: a list beside the store, which stays as it is."""

import json
from pathlib import Path

import numpy as np
from jaxtyping import Int

from labelfactory.errors import InputError
from labelfactory.storage.spec import DatasetSpec

LIMIT = 2**30  # bytes of a list


def read_exclusion(path: str | Path, spec: DatasetSpec) -> Int[np.ndarray, "n"]:
    """Indices of the samples that a list (``suspects.json`` of ``factory audit``) names.

    Raises InputError for a file that is no such list, for a list of another store, and for an index that the store
    does not have.
    """
    file = Path(path)
    if not file.is_file() or file.stat().st_size > LIMIT:
        raise InputError(f"{path}: no such list; expected suspects.json of `factory audit`")
    try:
        listed = json.loads(file.read_bytes())
        indices = [suspect["index"] for suspect in listed["suspects"]]
        owner = listed["spec_hash"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: is no list of suspects; expected suspects.json of `factory audit`") from None
    if owner != spec.hash:
        raise InputError(f"{path}: is a list for another data set ({str(owner)[:12]}); this one is {spec.hash[:12]}")
    wrong = [i for i in indices if type(i) is not int or not 0 <= i < spec.count]
    if wrong:
        raise InputError(f"{path}: names sample {str(wrong[0])[:20]}; expected 0 to {spec.count - 1}")
    return np.array(sorted(set(indices)), np.int64)
