"""A run to look at: losses, overfitting, rate and quality over the images seen, as one picture."""

import io
import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from labelfactory.errors import InputError
from labelfactory.whole_files import whole_file

LOG, REPORT, PICTURE = "log.jsonl", "quality.json", "curves.png"
Row = dict[str, float]
Line = tuple[str, list[float], list[float]]  # name, thousand images, values

_PLAIN = re.compile(r"([\d.]+) kimg\s+([\d.]+) images/s\s+(.*)")
# Title of a panel -> what a log calls its lines, and what a reader does.
_PANELS: dict[str, dict[str, str]] = {
    "loss": {"d": "discriminator", "g": "generator"},
    "regularisation": {"r1": "R1", "path": "path length"},
    "overfitting": {"r_t": "r_t = E[sign D(real)]", "p": "p of augmentation"},
    "images per second": {"images_per_second": ""},
}

_QUALITY = {
    "FID": ["fid"],
    "FID to the training images": ["fid_train"],
    "precision and recall": ["precision", "recall"],
}


def read_log(path: Path) -> list[Row]:
    """Lines of a run's ``log.jsonl``, or of a plain log ("35.6 kimg  39.3 images/s  d 1.114 sign 0.250 g 0.754").

    A line that a power cut left unfinished is passed over. Where a run went back to its last snapshot, what it then did
    again counts. Raises ``InputError`` where the file is missing or holds no such line.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected a run's {LOG}") from None
    rows = _without_repeats(row for row in map(_row, text.splitlines()) if row is not None)
    if not rows:
        raise InputError(f"{path}: holds no line of a training log; expected a run's {LOG}")
    return rows


def _row(line: str) -> Row | None:
    if plain := _PLAIN.match(line.strip()):
        words = plain[3].split()
        try:
            values = {name: float(value) for name, value in zip(words[::2], words[1::2], strict=True)}
        except ValueError:
            return None
        if "sign" in values:
            values["r_t"] = values.pop("sign")
        return {"kimg": float(plain[1]), "images_per_second": float(plain[2])} | values
    try:
        read = json.loads(line)
    except ValueError:
        return None
    if not isinstance(read, dict) or not isinstance(read.get("kimg"), int | float):
        return None
    return {n: float(value) for n, value in read.items() if isinstance(value, int | float) and math.isfinite(value)}


def _without_repeats(rows: Iterable[Row]) -> list[Row]:
    kept: list[Row] = []
    for row in rows:
        while kept and kept[-1]["kimg"] >= row["kimg"]:
            kept.pop()
        kept.append(row)
    return kept


def join_logs(paths: Sequence[Path]) -> tuple[list[Row], list[float]]:
    """The lines of several logs as one run's, each log from where the one before it ends or was left, and the
    thousand images at which each but the first begins."""
    logs = [read_log(path) for path in paths]
    return _without_repeats(row for log in logs for row in log), [log[0]["kimg"] for log in logs[1:]]


def draw_curves(picture: Path, logs: Sequence[Path] = (), report: Path | None = None) -> None:
    """Writes the curves of a run as PNG: of its logs (oldest first), and of quality where ``evaluate-generator`` has
    left a report of several generators.

    Raises ``InputError`` for logs that cannot be read or where there is nothing to draw, ``ImportError`` without
    matplotlib.
    """
    rows, seams = join_logs(logs)
    panels: list[tuple[str, list[Line]]] = []
    for title, names in _PANELS.items():
        lines: list[Line] = []
        for name, shown in names.items():
            found = [row for row in rows if name in row]
            if found:
                lines.append((shown, [row["kimg"] for row in found], [row[name] for row in found]))
        if lines:
            panels.append((title, lines))
    quality = _quality(report) if report is not None and report.exists() else []
    if not panels and not quality:
        raise InputError(f"{picture}: nothing to draw; expected a run's {LOG} or the {REPORT} of several generators")
    with whole_file(picture) as file:
        file.write(_png(panels, quality, seams))


def _quality(report: Path) -> list[tuple[str, list[Line]]]:
    """Panels of a report of ``evaluate-generator``: FID, precision and recall, a line a psi, beside real images."""
    try:
        entries = json.loads(report.read_text())["generators"]
        placed = sorted((e for e in entries if e["images_seen"] is not None), key=lambda e: e["images_seen"])
        x = [entry["images_seen"] / 1000 for entry in placed]
        panels: list[tuple[str, list[Line]]] = []
        if not placed:
            return panels
        of_psi: list[list[dict[str, Any]]] = [
            list(column) for column in zip(*(e["quality"] for e in placed), strict=True)
        ]
        for title, names in _QUALITY.items():
            lines: list[Line] = []
            for column in of_psi:
                for name in names:
                    shown = f"{name}, " if len(names) > 1 else ""
                    lines.append((f"{shown}ψ {column[0]['psi']:g}", x, [point["generated"][name] for point in column]))
            real = of_psi[0][0]["real"]
            lines += [(f"real {n if len(names) > 1 else 'images'}", [x[0], x[-1]], [real[n]] * 2) for n in names]
            panels.append((title, lines))
        return panels
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"{report}: is no report of evaluate-generator ({type(error).__name__}: {error})") from None


def _png(logged: list[tuple[str, list[Line]]], quality: list[tuple[str, list[Line]]], seams: list[float]) -> bytes:
    from matplotlib.figure import Figure  # without pyplot: no global state, no display

    panels = logged + quality
    deep = (len(panels) + 1) // 2
    height = 2.7 * deep
    figure = Figure(figsize=(11, height))
    margins = {"left": 0.05, "right": 0.99, "bottom": 0.5 / height, "top": 1 - 0.35 / height}
    grid = figure.subplots(deep, 2, squeeze=False, gridspec_kw=margins | {"wspace": 0.12, "hspace": 0.5}).flatten()
    ends = [k for _, lines in panels for _, x, _ in lines for k in (x[0], x[-1])]
    margin = max(0.02 * (max(ends) - min(ends)), 1e-3)
    for axes, (title, lines) in zip(grid, panels, strict=False):
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for name, x, y in lines:
            if (title, lines) in quality:
                axes.plot(x, y, "--" if name.startswith("real") else "o-", markersize=3, label=name)
                continue
            window = max(len(y) // 50, 1)
            (line,) = axes.plot(*_averaged(x, y, window), label=name)
            if window > 1:
                axes.plot(x, y, color=line.get_color(), alpha=0.2, linewidth=0.7, zorder=1)
        for seam in seams if (title, lines) in logged else ():
            axes.axvline(seam, color="grey", linewidth=0.8, linestyle=":")
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel("thousand images")
        axes.set_xlim(min(ends) - margin, max(ends) + margin)
        if any(name for name, _, _ in lines):
            axes.legend(frameon=False, fontsize=8, ncols=1 + (len(lines) > 3))
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _averaged(x: list[float], y: list[float], window: int) -> tuple[list[float], list[float]]:
    """Means of ``window`` neighbours, each at the middle of theirs."""
    starts = range(len(y) - window + 1)
    middle = (window - 1) // 2
    return [x[i + middle] for i in starts], [sum(y[i : i + window]) / window for i in starts]
