"""A self-contained HTML page about a dataset: pictures, class areas, uncertainty, provenance; no network needed."""

import base64
import html
import io
import os
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.storage.dataset import Dataset, open_dataset
from labelfactory.storage.show import class_shares, panels, sections, triptychs, uncertainty_top, value_reach
from labelfactory.whole_files import whole_file

MASKS_LOOKED_AT = 512  # for how many samples show each class; evenly spread over the set
BARS = 40

_STYLE = """
:root{color-scheme:light dark;--ink:#181b1f;--paper:#fff;--faint:#6b7280;--line:#d9dce1;--bar:#3b6fb6;--drop:#c2603a}
@media(prefers-color-scheme:dark){
:root{--ink:#e8eaed;--paper:#15171a;--faint:#9aa1ab;--line:#343940;--bar:#7aa7e0;--drop:#e58e63}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);
max-width:1200px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}.faint{color:var(--faint)}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(270px,1fr));gap:14px}figure{margin:0}
figure img{width:100%;image-rendering:pixelated;display:block;border-radius:3px}
figcaption{font-size:.8rem;color:var(--faint)}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid var(--line)}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}td code{word-break:break-all;font-size:.85rem}
.swatch{display:inline-block;width:.9em;height:.9em;border:1px solid var(--line);border-radius:2px;
vertical-align:-.1em;margin-right:.5em}
.track{background:var(--line);height:10px;border-radius:5px;min-width:120px}
.fill{height:10px;border-radius:5px;background:var(--bar)}
svg{width:100%;height:auto}svg text{fill:var(--faint);font:12px system-ui,sans-serif}
"""


def html_report(
    store: Dataset | str, path: str | os.PathLike[str], n: int = 16, storage_options: dict | None = None
) -> Path:
    """Writes the report of a finished store; InputError for ``n`` below 1 or a path that cannot be written."""
    if n < 1:
        raise InputError(f"{n} samples in each section: expected 1 or more")
    dataset = open_dataset(store, storage_options=storage_options) if isinstance(store, str) else store
    spec, scores = dataset.spec, dataset.scores()
    chosen = sections(dataset, n)
    top, reach = uncertainty_top(dataset, chosen), value_reach(dataset, chosen)
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<title>{spec.count:,} labelled pairs</title><style>{_STYLE}</style>",
        f"<h1>{spec.count:,} image&ndash;label pairs</h1>",
        f"<p class=faint>{spec.width} &times; {spec.height} px, {len(spec.classes)} classes, "
        f"{dataset.manifest.kept:,} to keep; each picture: {html.escape(', '.join(panels(spec, top, reach)))}</p>",
    ]
    for section in chosen:
        parts += [f"<h2>{section.title}</h2><div class=grid>"]
        for sample, picture in zip(section.samples, triptychs(dataset, section.samples, top, reach), strict=True):
            caption = f"{sample} &middot; uncertainty {scores[sample]:.3f}"
            parts.append(f"<figure><img alt='sample {sample}' src='{_embedded(picture)}'>")
            parts.append(f"<figcaption>{caption}</figcaption></figure>")
        parts.append("</div>")
    parts += ["<h2>Classes</h2>", _class_table(dataset)]
    parts += ["<h2>Uncertainty of the images</h2>", _uncertainty_chart(scores, dataset.keep())]
    parts += ["<h2>Provenance</h2>", _provenance(dataset), "</html>\n"]
    with whole_file(path) as file:
        file.write("\n".join(parts).encode())
    return Path(path)


def _embedded(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def class_presence(dataset: Dataset) -> tuple[Int[np.ndarray, "classes"], int]:
    """In how many of the samples looked at (up to 512, evenly spread) each class has at least one pixel."""
    spec = dataset.spec
    looked = np.unique(np.linspace(0, spec.count - 1, min(MASKS_LOOKED_AT, spec.count)).astype(np.int64))
    masks = dataset.read("mask", looked).reshape(len(looked), -1)
    present = np.array([(masks == class_id).any(axis=1).sum() for class_id in range(len(spec.classes))])
    return present, len(looked)


def _class_table(dataset: Dataset) -> str:
    shares, (present, looked) = class_shares(dataset), class_presence(dataset)
    rows = [
        "<table><tr><th>class<th>kind<th class=n>share of pixels<th><th class=n>in images",
    ]
    for info, share, images in zip(dataset.spec.classes, shares, present, strict=True):
        rows.append(
            f"<tr><td><span class=swatch style='background:rgb{info.color}'></span>{html.escape(info.name)}"
            f"<td>{'thing' if info.thing else 'stuff'}<td class=n>{share:.2%}"
            f"<td><div class=track><div class=fill style='width:{100 * share:.2f}%'></div></div>"
            f"<td class=n>{images / looked:.0%}"
        )
    note = "" if looked == dataset.spec.count else f"<p class=faint>Images counted: {looked} spread over the set.</p>"
    return "\n".join(rows) + "</table>" + note


def _uncertainty_chart(scores: Float[np.ndarray, "sample"], keep: np.ndarray) -> str:
    """A histogram; what the quantile rule drops has its own colour."""
    top = float(scores.max()) or 1.0
    edges = np.linspace(0, top, BARS + 1)
    kept, dropped = (np.histogram(scores[chosen], edges)[0] for chosen in (keep, ~keep))
    scale = 160 / max(1, int((kept + dropped).max()))
    bars = []
    for i, (low, high) in enumerate(zip(kept, dropped, strict=True)):
        x, lower, upper = 10 + i * 20, low * scale, high * scale
        tip = f"<title>{edges[i]:.3f} to {edges[i + 1]:.3f}: {low} kept, {high} dropped</title>"
        bars.append(f"<rect x={x} y={180 - lower:.1f} width=18 height={lower:.1f} fill='var(--bar)'>{tip}</rect>")
        y = 180 - lower - upper
        bars.append(f"<rect x={x} y={y:.1f} width=18 height={upper:.1f} fill='var(--drop)'>{tip}</rect>")
    labels = "".join(
        f"<text x={10 + 200 * i} y=198 text-anchor='{'start' if i == 0 else 'middle' if i < 4 else 'end'}'>"
        f"{top * i / 4:.3f}</text>"
        for i in range(5)
    )
    return (
        f"<svg viewBox='0 0 820 204' role=img aria-label='histogram of uncertainty'>{''.join(bars)}{labels}</svg>"
        f"<p class=faint>Mean of each image's 10 % least sure pixels (Jensen&ndash;Shannon divergence, nats). Blue: "
        f"{int(keep.sum()):,} kept; orange: {int((~keep).sum()):,} dropped by the quantile rule. "
        f"Median {np.median(scores):.3f}.</p>"
    )


def _provenance(dataset: Dataset) -> str:
    attributes = dataset.manifest.attributes
    software = ", ".join(f"{name} {version}" for name, version in attributes["software"].items())
    facts = {
        "Generator": attributes["generator"],
        "Generator sha256": attributes["generator_sha256"],
        "Interpreter sha256": attributes["interpreter_sha256"],
        "Seed": attributes["seed"],
        "Seed rule": attributes["seed_rule"],
        "Truncation": attributes["truncation"],
        "Kept share": attributes["keep_quantile"],
        "Shards": f"{dataset.spec.num_shards} of {dataset.spec.samples_per_shard} samples",
        "Spec hash": attributes["spec_hash"],
        "Schema": f"{attributes['schema']} {attributes['schema_version']}",
        "Software": software,
        "Licence": attributes["licence"],
    }
    rows = "".join(f"<tr><th>{name}<td><code>{html.escape(str(value))}</code>" for name, value in facts.items())
    return f"<table>{rows}</table>"
