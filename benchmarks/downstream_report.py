"""The tables of the downstream study from its result files: means over seeds, intervals over pictures, gaps closed."""

import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from downstream_cells import TEACHERS, Cell

from labelfactory.factory.evaluation.bootstrap import resampled_sums
from labelfactory.factory.evaluation.metrics import scores

MAIN: dict[str, tuple[str, int]] = {  # column: method and number of first-round segmenters
    **{m: (m, 1) for m in ("real", "mean-teacher", "factory", "factory+real", "refined", "refined+mean-teacher")},
    "self-trained": ("self-trained", TEACHERS),
}
CLASSES = ("background", "nucleus", "neighbour")
COSTS = ("cells", "interpreters", "stores", "inversions", "pretrained")  # folders whose files say what things took
CHANGED = ("pairs", "truncation", "keep", "temperature", "teachers", "start", "features")
DEFAULTS = {k: getattr(Cell("", 0, 0), k) for k in CHANGED}


@dataclass
class Row:
    """One method at one number of labels: the seeds' results and their bootstrap replicates (mean over seeds)."""

    key: tuple[Any, ...]
    results: list[dict[str, Any]]
    replicates: np.ndarray

    @property
    def miou(self) -> float:
        return float(np.mean([r["miou"] for r in self.results]))

    @property
    def interval(self) -> tuple[float, float]:
        low, high = np.percentile(self.replicates, [2.5, 97.5])
        return float(low), float(high)

    def text(self) -> str:
        low, high = self.interval
        return f"{100 * self.miou:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def read_rows(out: Path, whole_pictures: bool = True) -> dict[tuple[Any, ...], Row]:
    """Cells that differ in their seed alone are one row. All rows draw the same pictures: differences are paired.

    ``whole_pictures`` False draws crops as if those of one picture were independent.
    """
    found: dict[tuple[Any, ...], list[tuple[dict[str, Any], np.ndarray]]] = defaultdict(list)
    for path in sorted((out / "cells").glob("*.json")):
        result = json.loads(path.read_text())
        with np.load(path.with_suffix(".npz")) as arrays:
            confusion, groups = arrays["confusion"], arrays["groups"].tolist()
            sums = resampled_sums(confusion, groups if whole_pictures else None)
        cell = Cell(**result["cell"])  # what an older result does not tell has its default
        key = tuple((k, v) for k, v in asdict(cell).items() if k != "seed")
        found[key].append((result, scores(sums).miou))
    return {
        key: Row(key, [r for r, _ in cells], np.mean([m for _, m in cells], axis=0)) for key, cells in found.items()
    }


def label_counts(rows: dict[tuple[Any, ...], Row]) -> list[int]:
    """The numbers of labels that there are rows of, without "all"."""
    return sorted({dict(key)["labels"] for key in rows} - {0})


def pick(rows: dict[tuple[Any, ...], Row], method: str, labels: int, **wanted: Any) -> Row | None:
    """The row of a method; of several (mean teacher's consistency weights) the best, which favours the baseline.

    Only of those with the most seeds: means over other seeds cannot be compared.
    """
    defaults = DEFAULTS | wanted
    fitting = [
        row
        for key, row in rows.items()
        if (cell := dict(key))["method"] == method
        and cell["labels"] == labels
        and all(cell[k] == v for k, v in defaults.items())
    ]
    return max(fitting, key=lambda row: (len(row.results), row.miou), default=None)


def main_row(rows: dict[tuple[Any, ...], Row], column: str, labels: int) -> Row | None:
    """The row of a column of the main table."""
    method, teachers = MAIN[column]
    return pick(rows, method, labels, teachers=teachers)


def gap_closed(row: Row, real: Row, upper: Row) -> tuple[float, float, float]:
    """(method - real) / (upper - real) with its paired 95 % interval."""
    share = (row.replicates - real.replicates) / (upper.replicates - real.replicates)
    low, high = np.percentile(share, [2.5, 97.5])
    return (row.miou - real.miou) / (upper.miou - real.miou), float(low), float(high)


def ahead(row: Row, other: Row) -> str:
    """Points of mIoU above another row, with the paired 95 % interval."""
    low, high = np.percentile(row.replicates - other.replicates, [2.5, 97.5])
    return f"{100 * (row.miou - other.miou):+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def main_table(rows: dict[tuple[Any, ...], Row]) -> list[str]:
    upper, oracle = pick(rows, "upper", 0), pick(rows, "oracle", 0)
    counts = label_counts(rows)
    lines = ["| labels | " + " | ".join(MAIN) + " | gap closed | above mean-teacher |", "|---:" * (len(MAIN) + 3) + "|"]
    for n in counts:
        found = {column: main_row(rows, column, n) for column in MAIN}
        cells = [row.text() if row else "" for row in found.values()]
        ours = best_of_ours(rows, n)
        closed = above = ""
        if ours and found["real"] and upper:
            share, low, high = gap_closed(ours, found["real"], upper)
            closed = f"{100 * share:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
        if ours and (teacher := found["mean-teacher"]):
            above = ahead(ours, teacher)
        lines.append(f"| {n} | " + " | ".join(cells) + f" | {closed} | {above} |")
    for name, row in (("all labels", upper), ("generated images, labels of the upper bound's segmenter", oracle)):
        if row:
            lines.append(f"\n{name}: {row.text()}")
    return lines


def best_of_ours(rows: dict[tuple[Any, ...], Row], labels: int) -> Row | None:
    """The factory's best method at this number of labels."""
    found = (main_row(rows, column, labels) for column in list(MAIN)[2:])
    return max((row for row in found if row), key=lambda row: row.miou, default=None)


def interval_table(rows: dict[tuple[Any, ...], Row], over_crops: dict[tuple[Any, ...], Row]) -> list[str]:
    """The factory's best and the mean teacher with both kinds of intervals."""
    lines = ["| labels | drawn | the factory's best | mean-teacher | above mean-teacher |", "|---:|---|---:|---:|---:|"]
    for n in label_counts(rows):
        for drawn, some in (("pictures", rows), ("crops", over_crops)):
            if (ours := best_of_ours(some, n)) and (teacher := pick(some, "mean-teacher", n)):
                lines.append(f"| {n} | {drawn} | {ours.text()} | {teacher.text()} | {ahead(ours, teacher)} |")
    return lines


def loss_table(rows: dict[tuple[Any, ...], Row]) -> list[str]:
    """Where the missing points go: the generator (upper - oracle) and the labels (oracle - factory)."""
    upper, oracle = pick(rows, "upper", 0), pick(rows, "oracle", 0)
    if not upper or not oracle:
        return []
    lines = [
        "| labels | lost to the generator | lost to the labels | labels' agreement with upper |",
        "|---:" * 4 + "|",
    ]
    for n in label_counts(rows):
        row = pick(rows, "factory", n)
        if row:
            agree = [r["agreement_with_upper"] for r in row.results if r.get("agreement_with_upper") is not None]
            text = f"{100 * np.mean(agree):.1f}" if agree else ""
            generator, labels = 100 * (upper.miou - oracle.miou), 100 * (oracle.miou - row.miou)
            lines.append(f"| {n} | {generator:.1f} | {labels:.1f} | {text} |")
    return lines


def variant_table(rows: dict[tuple[Any, ...], Row]) -> list[str]:
    lines = ["| variant | labels | seeds | mIoU | " + " | ".join(CLASSES) + " | best over steps |"]
    lines.append("|---|---:|---:|---:" + "|---:" * len(CLASSES) + "|---:|")
    for key, row in sorted(rows.items(), key=lambda item: str(item[0])):
        cell = dict(key)
        named = {k: v for k, v in cell.items() if k not in ("method", "labels") and v is not None}
        changed = [f"{k} {v}" for k, v in named.items() if DEFAULTS.get(k) != v]
        iou = np.mean([r["iou"] for r in row.results], axis=0)
        curves = [max(r["miou_by_step"].values()) for r in row.results if r.get("miou_by_step")]
        best = f"{100 * np.mean(curves):.1f}" if curves else ""
        name = ", ".join([cell["method"], *changed])
        classes = " | ".join(f"{100 * x:.1f}" for x in iou)
        lines.append(f"| {name} | {cell['labels'] or 'all'} | {len(row.results)} | {row.text()} | {classes} | {best} |")
    return lines


def cpu_hours(out: Path) -> float:
    """Hours of everything that was made: cells, inversions, interpreters, stores."""
    total = 0.0
    for path in (p for folder in COSTS for p in out.glob(f"{folder}/*.json")):
        total += _cpu(json.loads(path.read_text()), nested=path.parent.name == "cells")
    return total / 3600


def _cpu(data: dict[str, Any], nested: bool) -> float:
    """A cell's preparation holds inversion and stores that their own files count."""
    if "cpu_s" in data:
        return float(data["cpu_s"])
    return sum(
        v["cpu_s"] for k, v in data.items() if isinstance(v, dict) and "cpu_s" in v and k != "preparation" * nested
    )


def write_tables(out: Path) -> None:
    """table.md, table.json and table.png."""
    rows = read_rows(out)
    if not rows:
        return
    parts = [
        "mIoU on val in per cent (mean over seeds; 95 % bootstrap interval over the val pictures)\n",
        *main_table(rows),
        "\nIntervals over whole pictures, and over crops as if those of one picture were independent\n",
        *interval_table(rows, read_rows(out, whole_pictures=False)),
        "\nWhere the points go\n",
        *loss_table(rows),
        "\nEvery row, with its classes\n",
        *variant_table(rows),
        f"\n{cpu_hours(out):.1f} CPU hours\n",
    ]
    (out / "table.md").write_text("\n".join(parts), encoding="utf-8")
    data = [
        {**dict(key), "seeds": len(r.results), "miou": r.miou, "low": r.interval[0], "high": r.interval[1]}
        for key, r in rows.items()
    ]
    (out / "table.json").write_text(json.dumps(data, indent=1) + "\n")
    draw(rows, out / "table.png")
    print((out / "table.md").read_text())


def draw(rows: dict[tuple[Any, ...], Row], path: Path) -> None:
    """mIoU against the number of labels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    counts = label_counts(rows)
    colours = dict(
        zip(MAIN, ("#6b7280", "#E69F00", "#56B4E9", "#0072B2", "#009E73", "#D55E00", "#CC79A7"), strict=True)
    )
    for column in MAIN:
        found = [(n, row) for n in counts if (row := main_row(rows, column, n))]
        if found:
            x, y = [n for n, _ in found], [100 * row.miou for _, row in found]
            axes.plot(x, y, marker="o", color=colours[column], label=column)
            for n, row in found:
                points = [100 * r["miou"] for r in row.results]
                axes.scatter([n] * len(points), points, s=8, color=colours[column], alpha=0.5)
    for method, style in (("upper", "-"), ("oracle", ":")):
        if row := pick(rows, method, 0):
            axes.axhline(100 * row.miou, color="black", linestyle=style, linewidth=1, label=method)
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(n) for n in counts])
    axes.minorticks_off()
    axes.set(xlabel="human-labelled crops", ylabel="mIoU on val, per cent")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=120)
