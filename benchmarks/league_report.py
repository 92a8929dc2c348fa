"""Table and figure of the league from its cells: paired intervals over whole pictures, seeds that both lines have."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from domains import DOMAINS, Domain
from downstream_cells import Cell
from downstream_report import Row, ahead, cpu_hours, gap_closed
from league_methods import FACTORY, METHODS, UPPER, Method

from labelfactory.factory.evaluation.bootstrap import resampled_sums
from labelfactory.factory.evaluation.metrics import scores


class Seed(NamedTuple):
    """A cell's result and its bootstrap replicates: of the mean IoU, and of each class's."""

    result: dict[str, Any]
    miou: np.ndarray
    iou: np.ndarray


Line = dict[int, Seed]  # by seed: one method at one number of labels


def read_lines(out: Path) -> dict[str, Line]:
    """Cells that differ in their seed alone are a line, by the cell's name without it."""
    found: dict[str, Line] = defaultdict(dict)
    for path in sorted((out / "cells").glob("*.json")):
        result = json.loads(path.read_text())
        with np.load(path.with_suffix(".npz")) as arrays:
            replicates = scores(resampled_sums(arrays["confusion"], arrays["groups"].tolist()))
        cell = Cell(**result["cell"])
        found[_name(cell)][cell.seed] = Seed(result, replicates.miou, replicates.iou)
    return dict(found)


def _name(cell: Cell) -> str:
    return json.dumps({k: v for k, v in asdict(cell).items() if k != "seed"})


def line_of(lines: dict[str, Line], method: Method, labels: int) -> Line:
    """What there is of a method at a number of labels."""
    return lines.get(_name(method.cell(labels, 0)), {})


def rows_of(*lines: Line, rare: int | None = None) -> list[Row]:
    """The lines over the seeds that all of them have, of the mean IoU or of one class's."""
    seeds = sorted(set.intersection(*(set(line) for line in lines)))
    if not seeds:
        return []
    if rare is None:
        kept = [([line[s].result["miou"] for s in seeds], [line[s].miou for s in seeds]) for line in lines]
    else:
        kept = [([line[s].result["iou"][rare] for s in seeds], [line[s].iou[:, rare] for s in seeds]) for line in lines]
    return [Row((), [{"miou": v} for v in values], np.mean(replicates, 0)) for values, replicates in kept]


def table(lines: dict[str, Line], domain: Domain, labels: Iterable[int]) -> list[str]:
    """A row a method and number of labels."""
    rare = () if domain.rare is None else (domain.classes[domain.rare].name,)
    heads = ["labels", "method", "mIoU", *(f"{name} IoU" for name in rare), "the factory is ahead by"]
    heads += [*(f"ahead in {name}" for name in rare), "gap closed", "seeds"]
    rows = [f"| {' | '.join(heads)} |", "|---:|---" + "|---:" * (len(heads) - 2) + "|"]
    upper, alone = line_of(lines, UPPER, 0), METHODS["labels alone"]
    for n in labels:
        ours = line_of(lines, METHODS[FACTORY], n)
        for name, method in METHODS.items():
            line = line_of(lines, method, n)
            if not line:
                continue
            cells = [str(n), name, rows_of(line)[0].text()]
            cells += [rows_of(line, rare=domain.rare)[0].text() for _ in rare]
            for which in (None, domain.rare)[: 1 + len(rare)]:
                both = rows_of(ours, line, rare=which) if name != FACTORY and ours else []
                cells.append(ahead(*both) if both else "")
            three = rows_of(line, line_of(lines, alone, n), upper) if method is not alone and upper else []
            cells.append(_closed(*three) if three else "")
            rows.append(f"| {' | '.join([*cells, str(len(line))])} |")
    if upper:
        whole = [rows_of(upper)[0].text(), *(rows_of(upper, rare=domain.rare)[0].text() for _ in rare)]
        rows.append(f"| all | labels alone | {' | '.join(whole)} |" + " |" * (2 + len(rare)) + f" {len(upper)} |")
    return rows


def _closed(row: Row, real: Row, upper: Row) -> str:
    share, low, high = gap_closed(row, real, upper)
    return f"{100 * share:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


def hours_left(out: Path, wanted: list[tuple[str, Cell]]) -> str:
    """What cells took that are done, and what those may take that are not, by the mean of their likes."""
    took: dict[tuple[str, str], list[float]] = defaultdict(list)
    unknown, total, missing = 0, 0.0, 0
    for domain, cell in wanted:
        path = out / domain / "cells" / f"{cell.name}.json"
        if path.exists():
            result = json.loads(path.read_text())
            took[domain, _kind(cell)].append(sum(v["cpu_s"] for v in result.values() if _is_lap(v)) / 3600)
    for domain, cell in wanted:
        if (out / domain / "cells" / f"{cell.name}.json").exists():
            continue
        missing += 1
        known = took.get((domain, _kind(cell)))
        total, unknown = total + (float(np.mean(known)) if known else 0), unknown + (not known)
    done = sum(cpu_hours(out / domain) for domain in {domain for domain, _ in wanted})
    told = f"{done:.2f} CPU hours so far; {missing} cells are missing, which may take {total:.1f}"
    return told + (f" and what {unknown} cells take of which none is done yet" if unknown else "")


def _kind(cell: Cell) -> str:
    return json.dumps({k: v for k, v in asdict(cell).items() if k not in ("seed", "labels")})


def _is_lap(value: Any) -> bool:
    return isinstance(value, dict) and "cpu_s" in value


def write_league(out: Path, domains: list[str], labels: Iterable[int]) -> None:
    """league.md, league.json and league.png of what is done."""
    found = {domain: read_lines(out / domain) for domain in domains}
    found = {domain: lines for domain, lines in found.items() if lines}
    if not found:
        return
    parts = [
        "IoU on val in per cent, mean over seeds, with 95 % bootstrap intervals over whole pictures; differences are"
    ]
    parts[0] += " paired: the same pictures, the seeds that both lines have.\n"
    for domain, lines in found.items():
        hours = f"{cpu_hours(out / domain):.2f} CPU hours with everything that cells share."
        parts += [f"## {domain}\n", *table(lines, DOMAINS[domain], labels), f"\n{hours}\n"]
    parts += ["| method | how the product offers it |", "|---|---|"]
    parts += [f"| {name} | `{method.command}` |" for name, method in METHODS.items()]
    (out / "league.md").write_text("\n".join(parts) + "\n", encoding="utf-8")
    data = [
        {"domain": domain, **seed.result["cell"], "miou": seed.result["miou"], "iou": seed.result["iou"]}
        for domain, lines in found.items()
        for line in lines.values()
        for seed in line.values()
    ]
    (out / "league.json").write_text(json.dumps(data, indent=1) + "\n")
    draw(found, sorted(labels), out / "league.png")
    print((out / "league.md").read_text())


def draw(found: dict[str, dict[str, Line]], labels: list[int], path: Path) -> None:
    """IoU against the number of labels: a panel a domain, and one for each rare class."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    panels = [(name, rare) for name in found for rare in dict.fromkeys((None, DOMAINS[name].rare))]
    figure = Figure(figsize=(5.2 * len(panels), 5.4), layout="constrained")
    colours = dict(zip(METHODS, colormaps["tab10"].colors, strict=False))
    for axes, (domain, rare) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        for name, method in METHODS.items():
            points = [(n, rows_of(line, rare=rare)[0]) for n in labels if (line := line_of(found[domain], method, n))]
            if not points:
                continue
            style = {"linestyle": "-", "linewidth": 2} if method.ours else {"linestyle": "--", "linewidth": 1.2}
            x, y = [n for n, _ in points], [100 * row.miou for _, row in points]
            axes.plot(x, y, marker="o", markersize=4, color=colours[name], label=name, **style)
        if upper := line_of(found[domain], UPPER, 0):
            axes.axhline(100 * rows_of(upper, rare=rare)[0].miou, color="black", linewidth=1, label="all labels")
        what = "mIoU" if rare is None else f"IoU of {DOMAINS[domain].classes[rare].name}"
        axes.set(title=domain, xlabel="labelled pictures", ylabel=f"{what} on val, per cent", xscale="log")
        axes.set_xticks(labels, [str(n) for n in labels])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False, fontsize=7)
    figure.savefig(path, dpi=120)
