"""What a person waits for on the labelling page: stroke to saved, stroke to a new proposal, and frames meanwhile.

    python benchmarks/labelling_latency.py                      # 64 px, the bundled nuclei
    python benchmarks/labelling_latency.py --pixels 256         # 256 px, channels as FFHQ's generator has, 20 classes

In Debian's Chromium, with playwright, on a server that `factory label` starts. Prints medians and 99th percentiles.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from labelfactory.factory.families import open_generator
from labelfactory.factory.labels.feature_maps import load_labels
from labelfactory.factory.labels.selection import blank_samples
from labelfactory.factory.stylegan2_ada.checkpoint import save_safetensors
from labelfactory.factory.stylegan2_ada.networks import Generator
from labelfactory.interpreters.classes import name_classes
from labelfactory.interpreters.labelset import LabelSet

WATCH = """() => {
  const mine = (window.frames_ms = []);
  let last = performance.now();
  const tick = (now) => {
    mine.push(now - last);
    last = now;
    if (mine === window.frames_ms) requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}"""


def make_labels(folder: Path, pixels: int, images: int) -> tuple[Path, str, int]:
    """A label set that nobody has labelled: its folder, its generator and its number of classes."""
    if pixels == 64:
        uri, classes = "builtin:nuclei64", tuple(load_labels("builtin:nuclei64").classes)
    else:
        torch.manual_seed(0)
        sizes = {"img_resolution": pixels, "img_channels": 3, "channel_base": 32768, "channel_max": 512}
        network = Generator(z_dim=512, c_dim=0, w_dim=512, mapping_layers=8, **sizes)
        uri, classes = str(folder / "generator.safetensors"), tuple(name_classes(f"class {i}" for i in range(20)))
        save_safetensors(uri, network.eval())
    generator = open_generator(uri, "cpu")
    samples = tuple(blank_samples(generator, range(images), 0.7))
    LabelSet(classes, samples, uri, generator.sha256, 0.7).save(folder / "labels")
    return folder / "labels", uri, len(classes)


def serve(labels: Path, uri: str, log: Path) -> tuple[subprocess.Popen, str]:
    with log.open("wb") as file:
        command = [sys.executable, "-W", "ignore", "-m", "labelfactory", "label", str(labels), "--generator", uri]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
    while not (found := re.findall(r"http://\S+", log.read_text())):
        time.sleep(0.1)
    return process, found[0]


def told(name: str, values: list[float], unit: str = "s") -> None:
    median, p99 = np.quantile(values, [0.5, 0.99])
    print(f"{name:32} median {median:.3f} {unit}, p99 {p99:.3f} {unit} ({len(values)} measured)")


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", type=int, default=64, choices=(64, 256))
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--strokes", type=int, default=60)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--picture", type=Path, help="screenshot at the end")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        labels, uri, classes = make_labels(Path(folder), options.pixels, options.images)
        process, address = serve(labels, uri, Path(folder) / "log.txt")
        try:
            browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 720})
            for _ in range(100):
                try:
                    page.goto(address)
                    break
                except Exception:  # the server is about to listen
                    time.sleep(0.1)
            page.wait_for_selector("body[data-revision]")
            box = page.locator("#canvas").bounding_box()
            side = 0.95 * min(box["width"], box["height"])
            left, top = box["x"] + (box["width"] - side) / 2, box["y"] + (box["height"] - side) / 2
            rng = np.random.default_rng(0)
            saved, proposed, frames = [], [], []

            def data(name: str) -> int:
                return int(page.evaluate("(name) => document.body.dataset[name] ?? 0", name))

            for n in range(options.strokes):
                page.keyboard.press(str(1 + n % min(9, classes)))
                x, y = left + side * rng.uniform(0.1, 0.9), top + side * rng.uniform(0.1, 0.9)
                page.mouse.move(x, y)
                page.mouse.down()
                page.mouse.move(x + rng.uniform(-40, 40), y + rng.uniform(-40, 40), steps=6)
                revision, model = data("revision"), data("model")
                page.evaluate(WATCH)
                page.mouse.up()
                started = time.perf_counter()
                while data("unsaved") or data("revision") == revision:
                    time.sleep(0.002)
                saved.append(time.perf_counter() - started)
                while n >= 1 and data("model") <= model:
                    time.sleep(0.002)
                if n >= 10:  # the process has started and learned something
                    proposed.append(time.perf_counter() - started)
                    frames += page.evaluate("() => window.frames_ms")
                time.sleep(1.0)  # until it has settled
            print(f"{options.pixels} px, {classes} classes, {options.images} images, {options.strokes} strokes")
            told("stroke to saved", saved[10:])
            told("stroke to new proposal", proposed)
            told("frame", [f for f in frames if f > 0], "ms")
            if options.picture:
                page.screenshot(path=str(options.picture))
            browser.close()
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
