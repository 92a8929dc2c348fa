"""The desk between page and factory: one label set, what is drawn on it, what is proposed, and who may draw."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from labelfactory.errors import InputError, WorkError
from labelfactory.factory.labels.generating import GeneratingProcess, Made
from labelfactory.factory.labels.learning_process import LearningProcess
from labelfactory.factory.labels.order import LabellingOrder, SampleOrder
from labelfactory.factory.labels.photographs import PhotographProcess, Photographs
from labelfactory.factory.labels.proposer import FreshSample, Progress, Proposal, nothing_proposed
from labelfactory.factory.labels.selection import sample_images
from labelfactory.factory.labels.session import LabelSession
from labelfactory.factory.labels.stopping import EVERY, Stroke
from labelfactory.factory.labels.strokes import Event, checked_point
from labelfactory.factory.production.order import Order
from labelfactory.flows.labelling.shown import Known
from labelfactory.interpreters.array_types import UInt8
from labelfactory.limits import IGNORE_INDEX

Say = Callable[[dict[str, Any]], Awaitable[None]]
GALLERY = 12  # fresh samples that show the data set to come


@dataclass(eq=False)
class Tab:
    """A page that is open somewhere. ``say`` sends it a message."""

    say: Say
    name: str = ""


@dataclass
class Desk(Known):
    """Everything that the server knows and does. All methods run in the server's event loop."""

    tabs: list[Tab] = field(default_factory=list)
    editor: Tab | None = None
    looked: dict[int, UInt8[np.ndarray, "height width"]] = field(default_factory=dict)
    photographs: Path | None = None
    interpreter: Path | None = None
    restorer: Path | None = None
    generating: GeneratingProcess | None = None
    inverting: PhotographProcess | None = None

    def start(self) -> None:
        """Begins to learn, in a process of its own, from what is drawn already."""
        self._loop, self._order = asyncio.get_running_loop(), asyncio.Lock()
        self._known = {event.id for event in self.session.log.events}

        self._learn()
        if self.photographs is not None:
            labels = self.session.labels
            self.inverting = PhotographProcess(self.photographs, labels, self.generator, self.device, self._hear)

    def _hear(self, message: Any) -> None:
        """Called in other threads."""
        self._loop.call_soon_threadsafe(self._heard, message)

    def _learn(self) -> None:
        labels = self.session.labels
        proposer = "interpreter" if self.restorer is None else "restorer"
        model, gallery = self.restorer or self.interpreter, GALLERY if self.restorer is None else 0
        self.learning = LearningProcess(
            labels, self.generator, self.device, self._hear, gallery=gallery, proposer=proposer, model=model
        )
        for index, name in enumerate(self.session.names):
            mask = self.session.canvas(name).mask
            if (mask != IGNORE_INDEX).any():
                self.learning.drawn(index, mask)

    def stop(self) -> None:
        for process in (self.inverting, self.generating, self.learning):
            if process is not None:
                process.stop()
        self.session.close()

    async def joined(self, tab: Tab) -> None:
        self.tabs.append(tab)
        self.editor = self.editor or tab
        await tab.say({"type": "editor", "editor": tab is self.editor})

    async def left(self, tab: Tab) -> None:
        self.tabs.remove(tab)
        if tab is self.editor:
            self.editor = self.tabs[0] if self.tabs else None
            if self.editor is not None:
                await self.editor.say({"type": "editor", "editor": True})

    async def said(self, tab: Tab, message: dict[str, Any]) -> None:
        """One message of a page; InputError for one that makes no sense."""
        kind = message.get("type")
        if kind == "open":
            self.name(message.get("sample"))
            self.learning.looked_at(message["sample"])
        elif kind == "take_over":
            self.editor = tab
            for other in self.tabs:
                await other.say({"type": "editor", "editor": other is tab})
        elif kind in ("stroke", "accept", "fill"):
            await self._draw(tab, kind, message)
        else:
            raise InputError(f"message {str(kind)[:40]!r}: expected open, take_over, stroke, accept or fill")

    async def _draw(self, tab: Tab, kind: str, message: dict[str, Any]) -> None:
        if tab is not self.editor:
            raise InputError("another tab is drawing; take over to draw here")
        name, index = self.name(message.get("sample")), message["sample"]
        identity = str(message.get("id", ""))[:64]
        async with self._order:  # strokes are kept in the order in which they came
            if identity and identity in self._known:  # its answer was lost
                await tab.say({"type": "saved", "id": identity, "sample": index, "revision": self.session.log.revision})
                return
            event = replace(self._event(kind, name, index, message), id=identity)
            before = self.session.canvas(name).mask
            revision = await asyncio.to_thread(self.session.add, event, tab.name)
            self._known.add(identity)
        self._remember(index, event, before)
        await tab.say({"type": "saved", "id": identity, "sample": index, "revision": revision})
        self.learning.drawn(index, self.session.canvas(name).mask)
        await self.tell({"type": "sample", **self.sample(index), "revision": revision})
        await self.tell({"type": "layers", "sample": index})

    def _event(self, kind: str, name: str, index: int, message: dict[str, Any]) -> Event:
        proposal = self.proposals.get(index)
        seen = nothing_proposed(*self.session.size) if proposal is None else proposal.mask
        point = message.get("point")
        place = None if point is None else checked_point(point)
        if kind == "accept":
            what = message.get("what", "all")
            if what not in ("all", "class", "region"):
                raise InputError(f"accept {str(what)[:20]!r}: expected all, class or region")
            return self.session.accepted(name, seen, what, _whole(message.get("value", 0)), place)
        if kind == "fill":
            value, instance = _whole(message.get("value", 0)), _whole(message.get("instance", 0), 65535)
            return self.session.filled(name, seen, value, place or (-1.0, -1.0), instance)
        given = message.get("event")
        if not isinstance(given, dict):
            raise InputError("a stroke without an event")
        return Event.from_json({**given, "sample": name, "source": "person"})

    def _remember(self, index: int, event: Event, before: UInt8[np.ndarray, "height width"]) -> None:
        """How far the proposal that somebody saw agreed with what they then drew."""
        proposal = self.proposals.get(index)
        after = self.session.canvas(event.sample).mask
        changed = (after != before) & (after != IGNORE_INDEX)
        if proposal is None or event.source != "person" or event.tool in ("undo", "redo", "done") or not changed.any():
            return
        agreed = float((proposal.mask[changed] == after[changed]).mean())
        self.strokes.append(Stroke(agreed, int(changed.sum()), proposal.score))
        if len(self.strokes) % EVERY == 0:
            self._look()

    def _look(self) -> None:
        """How much the proposals have changed since the last look, on the images that both have."""
        now = {index: proposal.mask for index, proposal in self.proposals.items()}
        both = [index for index in now if index in self.looked]
        if both:
            self.changes.append(float(np.mean([now[index] != self.looked[index] for index in both])))
        self.looked = now

    async def finish(self) -> list[str]:
        """Writes masks, the interpreter that ``factory generate`` will use, and a report; gives the files."""
        from labelfactory.factory.labels.finishing import finish

        async with self._order:
            return await asyncio.to_thread(finish, self.session, self.generator, self.device, self.curve())

    def generate(self, count: Any, out: Any) -> None:
        """Begins to make pairs from the label set as it was finished; ``out``: a new name beside the set's folder.

        InputError for another place, a number out of range, or while others are being made.
        """
        if self.generating is not None and self.generating.alive:
            raise InputError("pairs are being made already; wait until they are")
        if not isinstance(out, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}", out):
            raise InputError(f"store {str(out)[:40]!r}: expected a name of letters, digits, dots and dashes")
        place = self.session.folder.absolute().parent / out
        order = Order(
            generator=self.generator, labels=str(self.session.folder), out=str(place),
            count=_whole(count, 10**9), device=self.device,
        )  # fmt: skip
        self.generating = GeneratingProcess(order, self._hear)

    async def _join(self, ready: Photographs) -> None:
        """Photographs become samples; whoever learns begins anew with them."""
        async with self._order:
            await asyncio.to_thread(self.session.extend, ready.samples, ready.fidelities)
            await asyncio.to_thread(self.learning.stop)
            self._learn()
        await self.tell({"type": "samples", "left": ready.left})

    async def tell(self, message: dict[str, Any]) -> None:
        for tab in list(self.tabs):
            await tab.say(message)

    def _heard(self, message: Any) -> None:
        """What the learning process says."""
        told: dict[str, Any] | None = None
        if isinstance(message, Proposal):
            self.proposals[message.index] = message
            told = {"type": "layers", "sample": message.index, "score": message.score, "next": self.next_sample()}
        elif isinstance(message, Progress):
            self.progress.append(message)
            told = {"type": "model", **self.model(message), "seconds": message.seconds}
        elif isinstance(message, FreshSample):
            self.gallery[message.place] = message
            told = {"type": "gallery", "place": message.place, "revision": message.revision}
        elif isinstance(message, Made):
            told = {"type": "progress", **vars(message)}
        elif isinstance(message, Photographs):
            self._joining = self._loop.create_task(self._join(message))
        elif isinstance(message, WorkError):
            self.trouble = str(message)
            told = {"type": "error", "text": str(message)}
        if told is not None:
            self._told = self._loop.create_task(self.tell(told))  # kept, or it might be collected before it ran


def _whole(value: Any, most: int = 254) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise InputError(f"{str(value)[:20]!r}: expected a whole number, 0 to {most}")
    return value


def open_desk(order: LabellingOrder) -> Desk:
    """A desk for a label set, which is made, with images that k-means chooses, where there is none.

    InputError for photographs that are no folder, or where neither the order nor the set names a generator.
    """
    if order.interpreter is not None and not order.interpreter.is_file():
        raise InputError(f"{order.interpreter}: no such file; expected an interpreter")
    if order.restorer is not None and (order.interpreter is not None or not order.restorer.is_file()):
        raise InputError(f"{order.restorer}: expected a restorer's file, and no interpreter beside it")
    if order.images is not None and not order.images.is_dir():
        raise InputError(f"{order.images}: no such folder; expected one of photographs")
    if not (order.labels / "labelset.json").is_file():
        if order.generator is None:
            raise InputError(f"{order.labels}: no label set; give --generator to make one, or the folder of one")
        candidates = max(order.count, min(512, 32 * order.count))
        new = SampleOrder(order.generator, order.labels, order.count, classes=order.classes, candidates=candidates)
        sample_images(replace(new, device=order.device))
    session = LabelSession(order.labels)
    generator = order.generator or session.labels.generator_uri
    desk = Desk(session, generator, order.device, photographs=order.images, interpreter=order.interpreter)
    desk.restorer = order.restorer
    return desk
