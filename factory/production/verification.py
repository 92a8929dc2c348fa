"""A store looked at byte by byte, and mended where its models are at hand."""

from collections.abc import Callable, Sequence
from typing import Any

from labelfactory.factory.production.store_order import VerifyOrder
from labelfactory.progress import Progress
from labelfactory.storage import Finding, Report, repair, stored_spec, verify
from labelfactory.whole_files import whole_file

Watch = Callable[[int, int, Sequence[Finding]], Any]  # shards that were looked at, shards in all, what was found so far


def verify_store(
    order: VerifyOrder,
    tell: Callable[[str], Any] = print,
    progress: bool = True,
    watch: Watch = lambda done, total, findings: None,
) -> Report:
    """Checks, and with ``order.repair`` mends and checks again; ``tell`` gets what was mended and what could not be.

    ``watch`` hears after every shard how far it is.
    """
    report = _checked(order, progress, watch)
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
        report = _checked(order, progress, watch)
    if order.report is not None:
        with whole_file(order.report) as file:
            file.write((report.to_json() + "\n").encode())
    return report


def _checked(order: VerifyOrder, progress: bool, watch: Watch) -> Report:
    findings: list[Finding] = []
    with Progress(desc="verify", unit="shard", disable=not progress) as bar:

        def seen(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)
            watch(done, total, findings)

        return verify(order.store, workers=order.workers, progress=seen, found=findings.append)
