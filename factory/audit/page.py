"""A page to look through suspects: picture, label, window; untick what is right, and save the list."""

import base64
import html
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from labelfactory.factory.audit.suspect import Suspect
from labelfactory.factory.pairs.pairs import Pair
from labelfactory.interpreters.classes import LabelClass, palette
from labelfactory.limits import IGNORE_INDEX
from labelfactory.palette import laid_over

SIDE = 192  # of a picture on the page, in pixels
RED = (213, 94, 0)

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem; color: #1f2937; background: #fff; }
ol { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .8rem; }
li { border: 2px solid #d1d5db; border-radius: .4rem; padding: .4rem; width: 396px; }
li:has(input:checked) { border-color: #d55e00; }
label { display: block; cursor: pointer; } img { image-rendering: pixelated; display: block; }
header { position: sticky; top: 0; background: #fff; padding: .5rem 0; border-bottom: 1px solid #d1d5db; }
button { font: inherit; padding: .3rem 1rem; }
"""
SCRIPT = """
const list = JSON.parse(document.getElementById("list").textContent);
const boxes = [...document.querySelectorAll("input")];
const tell = () => { document.getElementById("count").textContent = boxes.filter((b) => b.checked).length; };
boxes.forEach((box) => { box.onchange = tell; });
document.getElementById("save").onclick = () => {
  const left = { ...list, suspects: list.suspects.filter((_, i) => boxes[i].checked) };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(left, null, 1)], { type: "application/json" }));
  link.download = "suspects.json";
  link.click();
};
tell();
"""


def page(
    listed: dict[str, Any], suspects: Sequence[Suspect], pairs: Iterable[Pair], classes: Sequence[LabelClass]
) -> Iterator[str]:
    """The page in pieces, so that it never stands in memory whole; ``listed`` is the list that it can save.

    Nothing in it comes from elsewhere.
    """
    title = f"Likely label errors of {html.escape(listed['pairs'])}"
    yield f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
    yield f"<header><h1>{title}</h1><p>The {len(suspects):,} least likely labels of {listed['of']:,}, the worst first. "
    yield "Untick what is right; the saved list is what readers leave out (<code>--exclude</code>). "
    yield "<b id=count></b> ticked. <button id=save type=button>Save the list</button></p></header><ol>"
    for place, (suspect, pair) in enumerate(zip(suspects, pairs, strict=True)):
        told = f"{place + 1}. {suspect.name or suspect.index}: labelled {suspect.given}, looks like {suspect.wanted}"
        yield f"<li><label><img width={2 * SIDE} loading=lazy alt='' src='{_picture(pair, suspect, classes)}'>"
        yield f"<input type=checkbox checked> {html.escape(told)} ({suspect.score:.1f})</label></li>"
    data = json.dumps(listed).replace("<", "\\u003c")
    yield f"</ol><script id=list type=application/json>{data}</script><script>{SCRIPT}</script></html>\n"


def _picture(pair: Pair, suspect: Suspect, classes: Sequence[LabelClass]) -> str:
    """Picture and label side by side, the window framed, as a data URI."""
    image = np.broadcast_to(pair.image, (*pair.image.shape[:2], 3))
    strength = np.where(pair.mask == IGNORE_INDEX, 0.0, 0.5)
    both = np.concatenate([image, laid_over(image, palette(classes)[pair.mask], strength).round()], 1).astype(np.uint8)
    scale = SIDE / max(pair.mask.shape)
    shown = Image.fromarray(np.ascontiguousarray(both)).resize(
        (max(1, round(both.shape[1] * scale)), max(1, round(both.shape[0] * scale))), Image.Resampling.NEAREST
    )
    top, left, side = suspect.window
    pen = ImageDraw.Draw(shown)
    for shift in (0, pair.mask.shape[1]):
        box = [scale * (left + shift), scale * top, scale * (left + shift + side) - 1, scale * (top + side) - 1]
        pen.rectangle(box, outline=RED, width=2)
    file = io.BytesIO()
    shown.save(file, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
