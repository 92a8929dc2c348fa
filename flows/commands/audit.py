"""``factory audit``: likely label errors, ranked."""

import typer

from labelfactory.factory.audit.order import LIST, AuditOrder
from labelfactory.flows.parameters import command_takes


@command_takes(AuditOrder, "its judges' checkpoints are kept; the same command goes on from there")
def audit(order: AuditOrder) -> None:
    """Rank the pairs whose labels are likely wrong, with a page to look through."""
    from labelfactory.factory.audit.auditing import audit as find

    suspects = find(order)
    for suspect in suspects[:5]:
        where = f"labelled {suspect.given}, looks like {suspect.wanted}"
        typer.echo(f"{suspect.name or suspect.index}: {where} (score {suspect.score:.1f})")
    typer.echo(f"{len(suspects)} suspects; look through {order.out / 'audit.html'}")
    typer.echo(f"then train with --exclude {order.out / LIST}, or correct them: factory correct --help")
