"""A finished store into the format of another tool."""

from labelfactory.factory.production.store_order import ExportOrder
from labelfactory.progress import Progress
from labelfactory.storage import open_dataset
from labelfactory.storage.exports import ExportReport, export


def export_dataset(order: ExportOrder, progress: bool = True) -> ExportReport:
    """Writes what ``order`` asks for; an interrupted export goes on."""
    dataset = open_dataset(
        order.store, keep=not order.all, max_uncertainty=order.max_uncertainty, exclude=order.exclude
    )
    with Progress(total=len(dataset), desc=f"export {order.format}", unit="sample", disable=not progress) as bar:
        return export(
            dataset,
            order.format,
            order.out,
            masks=order.masks,
            check=order.check,
            progress=lambda done, total: bar.update(done - bar.n),
        )
