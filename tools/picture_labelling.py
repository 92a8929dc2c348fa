"""Makes docs/labelling.png: the labelling page after some strokes on the bundled nuclei, in Chromium.

python tools/picture_labelling.py docs/labelling.png
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright
from scipy import ndimage

from labelfactory.factory.labels.feature_maps import load_labels
from labelfactory.limits import IGNORE_INDEX

STROKES = 7  # of every image
IMAGES = 4


def line_inside(region: np.ndarray) -> list[tuple[float, float]]:
    """A short line in the deepest place of a region, x and y in pixels."""
    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    reach = max(0.0, float(depth[y, x]) - 3)
    return [(x + 0.5 - reach, y + 0.5), (x + 0.5 + reach, y + 0.5)]


def draw(page: Any, truth: dict[str, np.ndarray]) -> None:
    """Strokes where the label set's own masks say what is there."""
    name = page.locator("#strip button[aria-current=true]").get_attribute("aria-label").split(", ")[1]
    mask = truth[name]
    box = page.locator("#canvas").bounding_box()
    zoom = 0.95 * min(box["width"], box["height"]) / len(mask)
    left, top = (box[a] + (box[b] - len(mask) * zoom) / 2 for a, b in (("x", "width"), ("y", "height")))
    parts = [(value, part) for value in (1, 2, 0) for part in objects(mask == value)]
    for value, part in parts[:STROKES]:
        page.keyboard.press(str(value + 1))
        (x0, y0), (x1, y1) = line_inside(part)
        page.mouse.move(left + zoom * x0, top + zoom * y0)
        page.mouse.down()
        page.mouse.move(left + zoom * x1, top + zoom * y1, steps=5)
        page.mouse.up()
        time.sleep(0.3)


def objects(region: np.ndarray) -> list[np.ndarray]:
    numbers, count = ndimage.label(region)
    found = [numbers == k for k in range(1, count + 1)]
    return sorted((part for part in found if part.sum() > 30), key=lambda part: -part.sum())


def main(out: Path) -> None:
    whole = load_labels("builtin:nuclei64")
    truth = {s.name: s.mask for s in whole}
    blank = [s._replace(mask=np.full_like(s.mask, IGNORE_INDEX)) for s in whole]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        labels, log = Path(folder) / "nuclei", Path(folder) / "log.txt"
        replace(whole, samples=tuple(blank)).save(labels)
        command = [sys.executable, "-W", "ignore", "-m", "labelfactory", "label", str(labels)]
        with log.open("wb") as file:
            environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
            server = subprocess.Popen([*command, "--generator", "builtin:nuclei64"], stdout=file, env=environment)
        while not (address := re.findall(r"http://\S+", log.read_text())):
            time.sleep(0.2)
        time.sleep(1)
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.goto(address[0])
        page.wait_for_selector("body[data-revision]")
        for image in range(IMAGES):
            draw(page, truth)
            if image < IMAGES - 1:
                time.sleep(3)
                page.keyboard.press("Enter")
                time.sleep(2)
        time.sleep(20)  # until the gallery has settled
        page.screenshot(path=str(out))
        browser.close()
        server.kill()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
