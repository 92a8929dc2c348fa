"""``factory invert``: real images (with masks) as a label set of the generator's latents."""

import typer

from labelfactory.factory.labels.order import InversionOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


def kept(order: InversionOrder) -> str:
    """Counts the images that are done."""
    done = len(list(order.scratch.glob("*.npz"))) if order.scratch.is_dir() else 0
    return f"the latents of {done} images stay; the same command goes on with the others" if done else NOTHING


@command_takes(InversionOrder, kept)
def invert(order: InversionOrder) -> None:
    """Find the latents of real images, so that their masks teach an interpreter; running it again resumes."""
    from labelfactory.factory.labels.real_images import invert_images

    invert_images(order, typer.echo)
