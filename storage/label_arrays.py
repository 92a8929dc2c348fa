"""Arrays of the label kinds that the first releases knew, and how those stores write them: as fields of their own.

The fields stay as they are, so that such stores keep their hash and grow on. Arrays of every other kind are listed
under ``arrays``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from labelfactory.storage.arrays import ArraySpec, ValueInfo

NONE: dict[str, Any] = {"keypoints": [], "value": False, "instance": False}  # what a store without labels says
ONLY_IF_ANY = ("regressor_sha256", "keypoint_uncertainty", "values", "value_sha256", "centre_sha256", "arrays")


def point_arrays(names: Sequence[str], model: str = "", uncertainty: bool = True) -> tuple[ArraySpec, ...]:
    """Array ``keypoints`` (x, y in pixels, confidence) and how sure each point is."""
    channels = tuple(map(ValueInfo, names))
    about: dict[str, Any] = {"head": "keypoints", "model": model, "channels": channels}
    dims, shape = ("sample", "keypoint"), (len(channels),)
    points = ArraySpec("keypoints", "float32", (*dims, "coordinate"), (*shape, 3), "NaN", False, "points", **about)
    doubt = ArraySpec("keypoint_uncertainty", "float32", dims, shape, "NaN", False, "points uncertainty", **about)
    return (points, doubt) if uncertainty else (points,)


def value_arrays(height: int, width: int, channels: Sequence[ValueInfo], model: str = "") -> tuple[ArraySpec, ...]:
    """Array ``value`` and how sure it is; without channels the oldest form, unnamed and without its uncertainty."""
    pixels, size = ("sample", "y", "x"), (height, width)
    if not channels:
        return (ArraySpec("value", "float16", pixels, size, "NaN", True, "values", "values", model),)
    dims, shape = (*pixels, "value_channel"), (*size, len(channels))
    value = ArraySpec("value", "float16", dims, shape, "NaN", True, "values", "values", model, tuple(channels))
    name, role = "value_uncertainty", "values uncertainty"
    return value, ArraySpec(name, "float16", dims, shape, "NaN", True, role, "values", model)


def object_arrays(height: int, width: int, model: str = "") -> tuple[ArraySpec, ...]:
    """Array ``instance``; ``model`` found the objects' centres, "" where only connection tells objects apart."""
    dims = ("sample", "y", "x")
    return (ArraySpec("instance", "uint16", dims, (height, width), 0, True, "objects", "centres", model),)


def arrays_in(document: Mapping[str, Any], height: int, width: int) -> tuple[ArraySpec, ...]:
    """All label arrays that a store's root attributes speak of. KeyError, TypeError where they are not sound."""
    arrays: list[ArraySpec] = []
    model, uncertain = document.get("regressor_sha256", ""), bool(document.get("keypoint_uncertainty", False))
    if document["keypoints"]:
        arrays += point_arrays(document["keypoints"], model, uncertain)
    channels = [ValueInfo(**info) for info in document.get("values", ())]
    if channels or document["value"]:
        arrays += value_arrays(height, width, channels, document.get("value_sha256", ""))
    if document["instance"]:
        arrays += object_arrays(height, width, document.get("centre_sha256", ""))
    return (*arrays, *map(ArraySpec.from_json, document.get("arrays", ())))


def fields_of(arrays: Sequence[ArraySpec], height: int, width: int) -> dict[str, Any]:
    """The fields that speak of these arrays: the inverse of ``arrays_in``."""
    named, kinds = {array.name: array for array in arrays}, list[dict[str, Any]]()
    if (points := named.get("keypoints")) and points.channels:
        uncertain = "keypoint_uncertainty" in named
        names = [channel.name for channel in points.channels]
        made = {"regressor_sha256": points.model, "keypoint_uncertainty": uncertain}
        kinds.append({"keypoints": names, **made})
    if value := named.get("value"):
        channels = [channel.to_json() for channel in value.channels]
        kinds.append({"value": True, "values": channels, "value_sha256": value.model})
    if instance := named.get("instance"):
        kinds.append({"instance": True, "centre_sha256": instance.model})
    fields = dict(NONE)
    for kind in kinds:
        known = arrays_in(NONE | kind, height, width)
        if set(known) <= set(arrays):  # else another kind's array of the same name
            fields |= kind
            arrays = [array for array in arrays if array not in known]
    fields["arrays"] = [array.to_json() for array in arrays]
    return {name: value for name, value in fields.items() if value or name in NONE}
