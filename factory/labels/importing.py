"""What people drew or measured, into a label set on disk, with a picture to look at. Needs no torch."""

from labelfactory.factory.labels.order import Imported, ImportOrder, ImportValuesOrder
from labelfactory.factory.taking import try_output
from labelfactory.interpreters.formats import Reading, WantedChannel, import_labels, import_values
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.sheet import contact_sheet, value_sheet
from labelfactory.ownership import claimed


def import_drawings(order: ImportOrder) -> list[str]:
    """Reads what ``order`` names and writes masks and a preview; lines for a person."""
    labels = _open(order.target)
    fill = "ignore" if order.restore is not None and order.fill is None else order.fill
    result, report = import_labels(
        labels,
        order.source,
        order.format,
        mapping=order.mapping,
        unknown=order.unknown,  # type: ignore[arg-type]
        fill=fill,
        drop_below=order.drop_below,
        skip_unmatched=order.target.skip_unmatched,
        empty=order.empty,  # type: ignore[arg-type]
    )
    told: list[str] = []
    if order.restore is not None:
        from labelfactory.factory.translation.completing import complete  # torch, for this alone

        result, told = complete(result, order.restore, order.device)
    folder = order.target.out or order.target.labels
    result.save(folder, overwrite=order.target.out is None)
    picture = order.preview or claimed(folder, "preview.png")
    contact_sheet(result.samples, result.classes).save(picture)
    done = f"{folder}: {len(result.labelled)} of {len(result)} samples labelled; {picture}: look at them"
    return [*report.lines(), *told, done]


def import_measurements(order: ImportValuesOrder) -> list[str]:
    """Reads what ``order`` names and writes values and a preview; lines for a person."""
    labels = _open(order.target)
    wanted = [WantedChannel.parse(text) for text in order.channel]
    reading, skip = Reading(order.scale, order.offset, order.no_data), order.target.skip_unmatched
    result, report = import_values(labels, order.source, wanted, reading, valid=order.valid, skip_unmatched=skip)
    folder = order.target.out or order.target.labels
    result.save(folder, overwrite=order.target.out is None)
    picture = order.preview or claimed(folder, "values.png")
    value_sheet(result.samples, result.values).save(picture)
    return [*report.lines(), f"{picture}: look at it"]


def _open(target: Imported) -> LabelSet:
    labels = LabelSet.load(target.labels)
    if target.out is None:
        try_output("labels", str(target.labels), "folder")
    else:
        try_output("out", str(target.out), "new folder")
    return labels
