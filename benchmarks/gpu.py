"""Everything that a GPU has to show, in one command: its tests, and what labels, training, live pairs and reading cost.

    python benchmarks/gpu.py                        # all parts into the folder gpu-report; a second call goes on
    python benchmarks/gpu.py --part labels live     # some parts; --again measures what is there already
    python benchmarks/gpu.py --device cpu           # toy sizes: the test of this command

Each part is a process of its own that is ended after ten minutes; what it found until then stays. The folder has a JSON
file for each part, and gpu.md and gpu.json with all of them. Needs torch, NumPy, Pillow, safetensors and tqdm; a part
that needs more says in a row what is missing.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Before the root: a benchmark has the name of a package that lies there.
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT), str(ROOT / "tests")]
LIMIT_S = 590
MISSING = "left out"


@dataclass
class Row:
    """One thing that was measured. ``value`` is None where it could not be; ``note`` says why, or how."""

    what: str
    value: float | str | None
    unit: str = ""
    note: str = ""


def absent(*modules: str) -> list[Row]:
    """A row where modules are missing, else none."""
    missing = [name for name in modules if find_spec(name) is None]
    return [Row(MISSING, None, note=f"{', '.join(missing)} not installed")] if missing else []


def tests(device: str) -> Iterator[Row]:
    """Every test that is marked ``cuda``."""
    if lacking := absent("pytest", "hypothesis"):
        yield from lacking
        return
    files = sorted({str(path) for path in (ROOT / "tests").glob("test_*.py") if "mark.cuda" in path.read_text()})
    settings = ["-o", "addopts=", "-o", "filterwarnings=", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-m", "cuda", *settings, *files]
    environment = {**os.environ, "LABELFACTORY_DEVICE": device, "PYTHONPATH": os.pathsep.join(sys.path[:3])}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    counted = 0
    for line in done.stdout.splitlines():
        word, _, rest = line.partition(" ")
        if word in ("PASSED", "FAILED", "ERROR", "SKIPPED"):
            counted += 1
            name, _, why = rest.partition(" - ")
            yield Row(name, word.lower(), note=why[:200])
    if not counted:
        yield Row("pytest", "failed", note=(done.stderr or done.stdout).strip().splitlines()[-1][:200])


def labels(device: str) -> Iterator[Row]:
    """The label kernel beside the generator and the published method."""
    from interpreter import Machine, inference

    machine, toy = Machine(device), device == "cpu"
    peaks = machine.peaks()
    kernel = "Triton" if machine.cuda and find_spec("triton") else "PyTorch's operations"
    yield Row("peak of matrix products", peaks[0] / 1e12, "TFLOP/s", "float16" if machine.cuda else "float32")
    yield Row("peak of copies", peaks[1] / 1e9, "GB/s")
    for px in (64,) if toy else (256, 512, 1024):
        for classes in (20, 34):
            for found in inference(machine, px, classes, peaks, 1 if toy else 8):
                name = f"{px} px, {classes} classes, {found.path}"
                note = f"{found.published / found.seconds:.1f} times as fast as published"
                if found.agreement is not None:
                    equal = found.agreement
                    note += f", equal masks {equal.masks:.3%}, uncertainty within {equal.uncertainty:.1e}, by {kernel}"
                yield Row(f"{name}: labels", 1 / found.seconds, "pairs/s", note)
                yield Row(f"{name}: labels / generator", found.seconds / found.generator, "", "time, one image of each")
                yield Row(f"{name}: memory", found.extra_bytes / 2**20, "MiB", "beyond the feature maps")


def training(device: str) -> Iterator[Row]:
    """Images a second of generator training."""
    from train_generator import measure

    toy = device == "cpu"
    runs: list[dict[str, Any]] = [{"name": "tiny", "resolution": 16 if toy else 64, "channels": 1}]
    if not toy:
        runs += [
            {"name": "tiny", "resolution": 64, "channels": 1, "precision": "float32"},
            {"name": "paper256", "resolution": 256, "channels": 3},
            {"name": "paper256", "resolution": 256, "channels": 3, "precision": "float32"},
            {"name": "paper256", "resolution": 256, "channels": 3, "augment_p": 0.5},
            {"name": "paper1024", "resolution": 1024, "channels": 3, "batch": 8},
            {"name": "tiny", "resolution": 64, "channels": 1, "compiled": True},
            {"name": "paper256", "resolution": 256, "channels": 3, "compiled": True},
        ]
    for run in runs:
        found = measure(**run, steps=16, device=device)
        words = [f"{key} {value}" for key, value in run.items() if key not in ("name", "channels", "resolution")]
        name = ", ".join([f"{run['name']}, {run['resolution']} px", *words])
        share = found.operations / found.seconds / found.peak
        note = f"batch {found.batch}, {found.precision}, {share:.0%} of the peak of matrix products"
        if found.compiled_within is not None:
            note += f", compiled within {found.compiled_within:.0f} s"
        yield Row(name, found.batch / found.seconds, "images/s", note)


def models(folder: Path, px: int, classes: int, device: str) -> tuple[Any, Any]:
    """An open generator of the standard widths, and an interpreter of it that has learned a little."""
    import torch
    from interpreter import make_generator, samples

    from labelfactory.factory import open_generator
    from labelfactory.factory.stylegan2_ada.checkpoint import save_safetensors
    from labelfactory.interpreters import Recipe, StyleInterpreter

    path = folder / f"{px}.safetensors"
    if not path.exists():
        save_safetensors(path, make_generator(px, torch.device("cpu")), None)
    net = make_generator(px, torch.device(device))
    interpreter = StyleInterpreter(net.synthesis.feature_channels, classes).to(device)
    recipe = Recipe(pixels_per_image=512, max_epochs=3)
    interpreter.fit(samples(net, 2, classes, torch.device(device)), recipe=recipe, progress=False)
    generator = open_generator(str(path), device)
    interpreter.generator_sha256 = generator.sha256
    interpreter.classes = [{"name": f"class {i}", "color": [i, 0, 0]} for i in range(classes)]
    return generator, interpreter


def timed(batches: Iterator[Any], first: int, count: int, use: Callable[[Any], object]) -> tuple[float, float]:
    """Seconds to the end of the first batches, and seconds of one of those after them."""
    began = time.perf_counter()
    for batch in islice(batches, first):
        use(batch)
    ready = time.perf_counter()
    for batch in islice(batches, count):
        use(batch)
    return ready - began, (time.perf_counter() - ready) / count


def live(device: str) -> Iterator[Row]:
    """Pairs that are made while something else learns from them."""
    import torch

    from labelfactory.factory import live as make_live

    toy, chosen = device == "cpu", torch.device(device)

    def to_device(batch: dict[str, Any]) -> None:
        for tensor in batch.values():
            tensor.to(chosen, non_blocking=True)
        if chosen.type == "cuda":
            torch.cuda.synchronize(chosen)

    with tempfile.TemporaryDirectory() as folder:
        for px, count in ((64, 1),) if toy else ((64, 64), (256, 24), (512, 8), (1024, 6)):
            generator, interpreter = models(Path(folder), px, 20, device)
            for keep in (False, True):
                stream = make_live(generator, interpreter, batch_size=32, keep=keep)
                iterator = iter(stream)
                ready, seconds = timed(iterator, 1 if toy else 4, count, to_device)
                iterator.close()
                name = f"{px} px, 20 classes, {'running quantile' if keep else 'all pairs'}"
                yield Row(name, 32 / seconds, "pairs/s", f"made and back on {device}; first batches in {ready:.1f} s")
            yield learning(stream, px, chosen)


def learning(stream: Any, px: int, device: Any) -> Row:
    """What a segmenter's step waits for: with live pairs against the same batch again and again."""
    import torch

    from labelfactory.factory.segmenters.unet import UNet

    size = {"width": 8, "depth": 2} if device.type == "cpu" else {}
    model = UNet(stream.spec.channels, len(stream.spec.classes), **size).to(device)
    optimiser = torch.optim.AdamW(model.parameters())

    def step(batch: dict[str, Any]) -> None:
        image = model.prepare(batch["image"].permute(0, 2, 3, 1).to(device))
        mask = batch["mask"].to(device, torch.int64)
        loss = torch.nn.functional.cross_entropy(model(image).float(), mask, ignore_index=255)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        float(loss)  # waits for the device

    stream.seek(0)
    iterator = iter(stream)
    count = 2 if device.type == "cpu" else 8
    first = next(iterator)
    _, alone = timed(iter([first] * (count + 1)), 1, count, step)
    _, together = timed(iterator, 1, count, step)
    iterator.close()
    note = f"step of a U-Net {1e3 * alone:.0f} ms, with live pairs {1e3 * together:.0f} ms, batch 32"
    return Row(f"{px} px, training waits for pairs", together - alone, "s a step", note)


def reading(device: str) -> Iterator[Row]:
    """Shuffled epochs of a store into the device's memory."""
    if lacking := absent("zstandard", "google_crc32c", "numcodecs"):
        yield from lacking
        return
    import torch
    from storage_formats import write_store

    from labelfactory.storage import open_dataset
    from labelfactory.storage.shuffle import Shuffle
    from labelfactory.storage.torch_dataset import StreamDataset, StreamLoader
    from storage import make_data

    toy, chosen = device == "cpu", torch.device(device)
    if lacking := absent("sklearn", "scipy"):
        yield from lacking
        return
    for px, samples in ((64, 256),) if toy else ((64, 8192), (256, 2048)):
        with tempfile.TemporaryDirectory() as folder:
            make_data(Path(folder), samples, px, "photographs")
            data = {name: np_load(Path(folder) / f"{name}.npy") for name in ("image", "mask")}
            write_store(f"{folder}/store", data)
            for workers, threads in ((0, 1), (2, 1)) if toy else ((0, 1), (0, 4), (4, 1), (8, 1)):
                dataset = open_dataset(f"{folder}/store", keep=False)
                stream = StreamDataset(dataset, Shuffle(), batch_size=32, threads=threads)
                loader = StreamLoader(stream, workers, pin_memory=chosen.type == "cuda")
                seconds = min(epoch(loader, chosen) for _ in range(3))
                loader.close()
                yield Row(f"{px} px, {workers} workers, {threads} threads", samples / seconds, "samples/s")


def np_load(path: Path) -> Any:
    import numpy as np

    return np.load(path)


def epoch(loader: Any, device: Any) -> float:
    import torch

    began = time.perf_counter()
    for batch in loader:
        for tensor in batch.values():
            tensor.to(device, non_blocking=True)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


PARTS: dict[str, Callable[[str], Iterator[Row]]] = {
    "tests": tests,
    "labels": labels,
    "training": training,
    "live": live,
    "reading": reading,
}


def run_part(name: str, device: str, file: Path) -> None:
    """In a process of its own; every row is on the disk as soon as it is known."""
    rows: list[dict[str, Any]] = []
    for row in PARTS[name](device):
        rows.append(asdict(row))
        _write(file, {"part": name, "finished": False, "rows": rows})
        print(f"  {row.what}: {shown(row.value)} {row.unit} {row.note}", flush=True)
    _write(file, {"part": name, "finished": True, "rows": rows})


def part(name: str, device: str, file: Path, limit_s: float) -> dict[str, Any]:
    """What a part found; a row says why it ended early."""
    print(name, flush=True)
    file.unlink(missing_ok=True)
    command = [sys.executable, __file__, "--run", name, "--device", device, "--file", str(file)]
    began, why = time.monotonic(), None
    with tempfile.TemporaryFile("w+") as errors:
        try:
            done = subprocess.run(command, stderr=errors, check=False, timeout=limit_s)
        except subprocess.TimeoutExpired:
            why = f"stopped after {limit_s:.0f} s"
        else:
            errors.seek(0)
            lines = [line for line in errors.read().splitlines() if line.strip()]
            if done.returncode:
                why = lines[-1] if lines else f"exit status {done.returncode}"
    found = json.loads(file.read_text()) if file.exists() else {"part": name, "rows": []}
    if why is not None:
        found["rows"].append(asdict(Row("the rest", None, note=why[:300])))
        print(f"  {why}", flush=True)
    found |= {"finished": why is None, "seconds": round(time.monotonic() - began, 1)}
    _write(file, found)
    return found


def _write(file: Path, found: dict[str, Any]) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(found, indent=1) + "\n")
    fresh.replace(file)


def shown(value: float | str | None) -> str:
    if value is None:
        return "–"
    return value if isinstance(value, str) else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def machine(device: str) -> dict[str, str]:
    import torch

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor() or "CPU"
    return {"device": f"{device}: {name}", "torch": torch.__version__, "python": platform.python_version()}


def table(about: dict[str, str], parts: list[dict[str, Any]]) -> str:
    lines = [", ".join(f"{key} {value}" for key, value in about.items()), "", "| part | what | value | unit | note |"]
    lines.append("|---|---|---:|---|---|")
    for found in parts:
        for row in found["rows"]:
            cells = [found["part"], row["what"], shown(row["value"]), row["unit"], row["note"]]
            lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=Path("gpu-report"), help="folder of the report")
    parser.add_argument("--part", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--again", action="store_true", help="measure parts anew that are finished")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds that a part may take")
    parser.add_argument("--run", choices=list(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        run_part(asked.run, asked.device, asked.file)
        return
    import torch

    if asked.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("this machine has no CUDA device; --device cpu tries the command at toy sizes")
    asked.out.mkdir(parents=True, exist_ok=True)
    for name in asked.part:
        file = asked.out / f"{name}.json"
        if asked.again or not file.exists() or not json.loads(file.read_text()).get("finished"):
            part(name, asked.device, file, asked.limit)
    files = [asked.out / f"{name}.json" for name in PARTS]
    parts = [json.loads(file.read_text()) for file in files if file.exists()]
    about = machine(asked.device)
    (asked.out / "gpu.md").write_text(table(about, parts))
    (asked.out / "gpu.json").write_text(json.dumps({"machine": about, "parts": parts}, indent=1) + "\n")
    print(table(about, parts))


if __name__ == "__main__":
    main()
