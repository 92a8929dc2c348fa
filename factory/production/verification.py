"""A store looked at byte by byte, and mended where its models are at hand."""

from collections.abc import Callable
from typing import Any

from labelfactory.factory.production.store_order import VerifyOrder
from labelfactory.progress import Progress
from labelfactory.storage import Report, repair, stored_spec, verify
from labelfactory.whole_files import whole_file


def verify_store(order: VerifyOrder, tell: Callable[[str], Any] = print, progress: bool = True) -> Report:
    """Checks, and with ``order.repair`` mends and checks again; ``tell`` gets what was mended and what could not be."""
    report = _checked(order, progress)
    if order.repair and not report.ok:
        from labelfactory.factory.production.remaking import ModelFiles, shard_maker  # torch, for a repair alone

        for finding in report.findings:
            tell(str(finding))
        given = [*order.model, *([order.interpreter] if order.interpreter else [])]
        files = ModelFiles(stored_spec(order.store), given)
        mended, failed = repair(report, shard_maker(order.store, files, order.generator, order.device), files.read)
        for line in mended:
            tell(f"repaired: {line}")
        for line in failed:
            tell(f"not repaired: {line}")
        report = _checked(order, progress)
    if order.report is not None:
        with whole_file(order.report) as file:
            file.write((report.to_json() + "\n").encode())
    return report


def _checked(order: VerifyOrder, progress: bool) -> Report:
    with Progress(desc="verify", unit="shard", disable=not progress) as bar:

        def seen(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return verify(order.store, workers=order.workers, progress=seen)
