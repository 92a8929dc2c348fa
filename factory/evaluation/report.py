"""An evaluation as something to look at: one HTML file with everything inside, PNGs beside it, and JSON."""

import base64
import html
import json
import math
from pathlib import Path
from typing import Any

from labelfactory.factory.evaluation.cases import cases_png
from labelfactory.factory.evaluation.evaluation import Evaluation
from labelfactory.factory.evaluation.figures import ap_png, confusion_png, image_scores_png, training_png
from labelfactory.factory.evaluation.judge import Score
from labelfactory.factory.evaluation.names import PIXELS, named
from labelfactory.ownership import claim
from labelfactory.whole_files import whole_file

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #1f2937; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
p.about { color: #4b5563; margin-top: 0; }
.headline { display: flex; gap: 2rem; flex-wrap: wrap; margin: 1.2rem 0; }
.headline div { border-left: 4px solid #0072b2; padding-left: .8rem; }
.headline b { font-size: 1.9rem; display: block; line-height: 1.2; }
.headline span { color: #4b5563; font-size: .85rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .9rem .3rem 0; text-align: right; border-bottom: 1px solid #e5e7eb; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid #9ca3af; font-weight: 600; }
td small { color: #6b7280; margin-left: .4rem; }
.swatch { display: inline-block; width: .8em; height: .8em; margin-right: .5em; border: 1px solid #9ca3af; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
figure { margin: 0; } .figures figure { flex: 0 1 calc(50% - .5rem); }
figcaption { color: #4b5563; font-size: .85rem; }
img { max-width: 100%; } .wide { overflow-x: auto; }
"""


HEADLINES = ("miou", "pixel_accuracy", "boundary_f", "panoptic_quality", "ap", "box_ap", "pck", "mean_error")
PICTURES = ("confusion", "image_scores", "average_precision", "training", "worst", "best")
FILES = ("report.html", "report.json", *(f"{name}.png" for name in PICTURES))


def write_report(
    evaluation: Evaluation, folder: Path, title: str, about: str = "", history: list[dict[str, Any]] | None = None
) -> dict[str, Path]:
    """Write ``report.html`` (self-contained), ``report.json`` and the PNGs; returns what was written by name."""
    claim(folder, FILES)
    ranked, classes = named(evaluation.ranked_by), evaluation.classes
    confusion = evaluation.confusion
    pictures = {
        "confusion": None if confusion is None else confusion_png(confusion, [c.name for c in classes]),
        "image_scores": image_scores_png(evaluation, ranked),
        "average_precision": ap_png(evaluation),
        "training": training_png(history or []),
        "worst": cases_png(evaluation.worst, classes, ranked),
        "best": cases_png(evaluation.best, classes, ranked),
    }
    written = {}
    for name, data in pictures.items():
        if data is not None:
            written[name] = folder / f"{name}.png"
            _write(written[name], data)
    summary = {"title": title, "about": about, **evaluation.as_json()}
    written["json"] = folder / "report.json"
    _write(written["json"], (json.dumps(summary, indent=1, allow_nan=False) + "\n").encode())
    written["html"] = folder / "report.html"
    _write(written["html"], render(evaluation, title, about, pictures).encode())
    return written


def _write(path: Path, data: bytes) -> None:
    with whole_file(path) as file:
        file.write(data)


def render(evaluation: Evaluation, title: str, about: str, pictures: dict[str, bytes | None]) -> str:
    """The page; every picture is inside of it."""
    groups = f" from {evaluation.groups} pictures" if evaluation.groups < evaluation.images else ""
    objects = {
        "numbered": "Objects are the numbered ones of the labels.",
        "connected parts": "Objects are connected parts of the labels, so touching ones count as one.",
        "none": "",
    }[evaluation.instances]
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>",
        f"<meta name=viewport content='width=device-width'><style>{STYLE}</style>",
        f"<h1>{html.escape(title)}</h1><p class=about>{html.escape(about)}</p>",
        f"<p>{evaluation.images:,} labelled images{groups}, {evaluation.pixels:,} labelled pixels. Scores in per cent "
        f"with 95 % bootstrap intervals over {'pictures' if groups else 'images'}. {objects}</p>",
        _headline(evaluation),
        "<h2>Scores</h2>",
        _overall_table(evaluation),
        "<h2>Classes</h2><div class=wide>" if evaluation.per_class else "<div>",
        _class_table(evaluation) if evaluation.per_class else "",
        "</div><h2>Curves</h2><div class=figures>",
        _figure(pictures["confusion"], "Confusion matrix: rows in per cent"),
        _figure(pictures["image_scores"], "Spread over images"),
        _figure(pictures["average_precision"], "Objects found, by required overlap"),
        _figure(pictures["training"], "Training"),
        "</div><h2>Worst and best images</h2>",
        "<p>Each row: image, labelled by people, predicted, and for masks where they differ (red).</p>",
        "<div class=figures>",
        _figure(pictures["worst"], "Worst"),
        _figure(pictures["best"], "Best"),
        "</div>",
    ]
    return "\n".join(parts) + "\n</html>\n"


def markdown(evaluation: Evaluation) -> str:
    """The two tables for a terminal or an artifact."""
    lines = ["| score | value | 95 % interval |", "|---|---:|---|"]
    for name, score in evaluation.overall.items():
        lines.append(f"| {named(name)} | {shown(name, score)} | {_range(name, score)} |")
    columns = list(evaluation.per_class)
    if not columns:
        return "\n".join(lines)
    lines += ["", "| class | " + " | ".join(named(c) for c in columns) + " |", "|---" + "|---:" * len(columns) + "|"]
    for i, c in enumerate(evaluation.classes):
        values = " | ".join(percent(evaluation.per_class[name][i]) for name in columns)
        lines.append(f"| {c.name.replace('|', '/')} | {values} |")
    return "\n".join(lines)


def percent(score: Score) -> str:
    """``84.9``, or a dash where the score is not defined."""
    return "–" if math.isnan(score.value) else f"{100 * score.value:.1f}"


def shown(name: str, score: Score) -> str:
    """The same for a score in pixels, which is none in per cent."""
    return f"{score.value:.2f}" if name in PIXELS and not math.isnan(score.value) else percent(score)


def _range(name: str, score: Score) -> str:
    if math.isnan(score.low):
        return ""
    low, high = (shown(name, Score(value)) for value in (score.low, score.high))
    return f"{low} to {high}"


def _headline(evaluation: Evaluation) -> str:
    overall = evaluation.overall
    cells = [
        f"<div><span>{named(n)}</span><b>{shown(n, overall[n])}</b><span>{_range(n, overall[n])}</span></div>"
        for n in HEADLINES
        if n in overall
    ]
    return f"<div class=headline>{''.join(cells)}</div>"


def _overall_table(evaluation: Evaluation) -> str:
    rows = "".join(
        f"<tr><td>{named(name)}</td><td>{shown(name, score)}</td><td>{_range(name, score)}</td></tr>"
        for name, score in evaluation.overall.items()
    )
    return f"<table><thead><tr><th>score</th><th>%</th><th>95 % interval</th></tr></thead>{rows}</table>"


def _class_table(evaluation: Evaluation) -> str:
    head = "".join(f"<th>{named(name)}</th>" for name in evaluation.per_class)
    rows = []
    for i, c in enumerate(evaluation.classes):
        swatch = f"<span class=swatch style='background:rgb{c.color}'></span>"
        cells = ""
        for column in evaluation.per_class.values():
            half = (column[i].high - column[i].low) / 2
            spread = "" if math.isnan(half) else f"<small>±{100 * half:.1f}</small>"
            cells += f"<td>{percent(column[i])}{spread}</td>"
        rows.append(f"<tr><td>{swatch}{html.escape(c.name)}</td>{cells}</tr>")
    return f"<table><thead><tr><th>class</th>{head}</tr></thead>{''.join(rows)}</table>"


def _figure(data: bytes | None, caption: str) -> str:
    if data is None:
        return ""
    encoded = base64.b64encode(data).decode()
    text = html.escape(caption)
    return f"<figure><img alt='{text}' src='data:image/png;base64,{encoded}'><figcaption>{text}</figcaption></figure>"
