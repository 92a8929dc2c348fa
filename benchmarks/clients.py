"""Which Zarr clients read which arrays of a store, bit for bit? The table of docs/format.md.

    python benchmarks/clients.py [--python python3.13] [--only zarr-python] [--write docs/format.md]

A store with every kind of array is made (three shards, the last one shorter, and a manifest in parts). Each client is
installed into an environment of its own in a temporary folder (venv and pip, npm), opens the arrays and hashes what it
reads. Nothing of ours is installed there. ``--python`` is the interpreter for the environments: zarr-python 3.2 and
later need 3.12. What cannot be installed is named, not left out. It takes some minutes and 2 GB of downloads.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

START, END = "<!-- clients: made by benchmarks/clients.py -->", "<!-- end of clients -->"

# Each program gets the store's folder and the arrays' names, and prints {array: hash or {"error": text}} as JSON. A
# hash is the sha256 of all values in C order, little-endian.
HEAD = """
import hashlib, json, sys
import numpy as np
folder, names = sys.argv[1], sys.argv[2:]
def told(read):
    found = {}
    for name in names:
        try:
            found[name] = hashlib.sha256(np.ascontiguousarray(read(name)).tobytes()).hexdigest()
        except Exception as error:
            found[name] = {"error": " ".join(str(error).replace(folder, "STORE").split())[:200]}
    print(json.dumps(found))
"""
ZARR = "import zarr\ngroup = zarr.open_group(folder, mode='r')\ntold(lambda name: group[name][...])"
ZARRS = "import zarr\nzarr.config.set({'codec_pipeline.path': 'zarrs.ZarrsCodecPipeline'})\n" + ZARR
XARRAY = """
import xarray
opened = xarray.open_zarr(folder)
assert not opened.coords, f'coordinates: {list(opened.coords)}'
told(lambda name: opened[name].values)
"""
TENSORSTORE = """
import tensorstore
def read(name):
    place = {'driver': 'file', 'path': f'{folder}/{name}/'}
    return tensorstore.open({'driver': 'zarr3', 'kvstore': place}).result().read().result()
told(read)
"""
Z5 = "import z5py\nfile = z5py.File(folder, mode='r')\ntold(lambda name: file[name][...])"
RASTERIO = """
import rasterio, warnings
warnings.simplefilter('ignore')
told(lambda name: rasterio.open(f'ZARR:"{folder}":/{name}').read())
"""
NETCDF = """
import netCDF4
def read(name):
    return netCDF4.Dataset(f'file://{folder}#mode=zarr,file')[name][...]
told(read)
"""
ZARRITA = """
import { createHash } from "node:crypto";
import * as zarr from "zarrita";
import FileSystemStore from "@zarrita/storage/fs";
const [folder, ...names] = process.argv.slice(2);
const root = zarr.root(new FileSystemStore(folder));
const found = {};
for (const name of names) {
  try {
    const { data } = await zarr.get(await zarr.open(root.resolve(name), { kind: "array" }));
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    found[name] = createHash("sha256").update(bytes).digest("hex");
  } catch (error) { found[name] = { error: String(error) }; }
}
console.log(JSON.stringify(found));
"""


@dataclass(frozen=True)
class Client:
    """A reader: ``packages`` are what its environment needs, ``why`` explains what it is known not to read."""

    name: str
    packages: tuple[str, ...]
    program: str
    why: str = ""

    @property
    def node(self) -> bool:
        return self.program is ZARRITA


HALF = "JavaScript has no float16 before `Float16Array` (Node 24)"
CLIENTS = (
    *(Client(f"zarr-python {v}", (f"zarr=={v}",), ZARR) for v in ("3.0.10", "3.1.6", "3.2.1", "3.3.0", "3.4.2")),
    Client("xarray 2026.9.0", ("xarray==2026.9.0", "zarr==3.4.2"), XARRAY),
    Client("tensorstore 0.1.86", ("tensorstore==0.1.86",), TENSORSTORE),
    Client("zarrs 0.2.3 (Rust, below zarr-python)", ("zarrs==0.2.3",), ZARRS),
    Client("zarrita 0.7.5 on Node 26", ("zarrita@0.7.5", "@zarrita/storage@0.2.0", "node@26.10.0"), ZARRITA),
    Client("zarrita 0.7.5 on Node 20", ("zarrita@0.7.5", "@zarrita/storage@0.2.0", "node@20"), ZARRITA, HALF),
    Client("z5 3.0.2", ("z5py==3.0.2", "numpy"), Z5, "knows neither float16 nor bool"),
    Client("GDAL 3.12 (rasterio 1.5.2)", ("rasterio==1.5.2",), RASTERIO, "knows no sharding before 3.13"),
    Client("netCDF-C 4.10.1 (netCDF4 1.7.5.1)", ("netCDF4==1.7.5.1.post1",), NETCDF, "opens Zarr v2 stores only"),
)


def make(folder: Path) -> dict[str, str]:
    """A store with every kind of array; gives the hash of each."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from storage_data import VALUES, fill, make_spec

    from labelfactory.storage import create_store, manifest, open_dataset

    manifest.PARTS_FROM, manifest.SHARDS_IN_PART = 3, 2  # as in stores of very many shards
    spec = make_spec(keypoints=("tip", "tail"), keypoint_uncertainty=True, values=VALUES, instance=True)
    fill(create_store(str(folder), spec))
    dataset = open_dataset(str(folder), keep=False)
    everything = {array.name: dataset.read(array.name, dataset.samples) for array in spec.arrays()}
    return {
        name: hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for name, array in everything.items()
    }


def run(command: Sequence[str | Path], folder: Path) -> str:
    """A command's output; RuntimeError with the end of what it said where it fails."""
    done = subprocess.run([str(word) for word in command], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr.strip() or done.stdout.strip()).splitlines()[-1][:200])
    return done.stdout


def ask(client: Client, python: str, folder: Path, store: Path, names: list[str]) -> dict[str, object]:
    """Installs a client into ``folder`` and lets it read."""
    if client.node:
        (folder / "package.json").write_text('{"private": true}')
        run(["npm", "install", "--silent", "--no-audit", "--no-fund", *client.packages], folder)
        (folder / "read.mjs").write_text(client.program)
        return json.loads(run([folder / "node_modules/.bin/node", "read.mjs", store, *names], folder))
    run([python, "-m", "venv", folder / "venv"], folder)
    run([folder / "venv/bin/python", "-m", "pip", "install", "-q", *client.packages], folder)
    (folder / "read.py").write_text(HEAD + client.program)
    return json.loads(run([folder / "venv/bin/python", "read.py", store, *names], folder).splitlines()[-1])


def row(client: Client, found: dict[str, object] | str, truth: dict[str, str]) -> str:
    """The client's line of the table."""
    if isinstance(found, str):
        return f"| {client.name} | not tried here | {found} |"
    equal = [name for name in truth if found.get(name) == truth[name]]
    wrong = [name for name in truth if name not in equal and isinstance(found.get(name), str)]
    if len(equal) == len(truth):
        return f"| {client.name} | all {len(truth)} | |"
    errors: dict[str, list[str]] = {}
    for name in truth:
        if isinstance(reason := found.get(name), dict):
            errors.setdefault(reason["error"].replace("|", "/"), []).append(f"`{name}`")
    if not equal and len(errors) == 1:
        missing = next(iter(errors))
    else:
        missing = "; ".join(f"{', '.join(names)} ({text})" for text, names in errors.items())
    read = f"{len(equal)} of {len(truth)}" if equal else "none"
    told = f"{client.why}: {missing}" if client.why else missing
    return f"| {client.name} | {read} | {told}{f'; WRONG VALUES: {wrong}' if wrong else ''} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="interpreter for the clients' environments")
    parser.add_argument("--only", default="", help="clients whose name contains this")
    parser.add_argument("--write", type=Path, help="page whose table is replaced")
    args = parser.parse_args()
    rows = ["| client | arrays read, bit for bit | what not, and why (in its own words) |", "|---|---|---|"]
    with tempfile.TemporaryDirectory() as name:
        store = Path(name) / "set"
        truth = make(store)
        for client in CLIENTS:
            if args.only not in client.name:
                continue
            folder = Path(name) / "client"
            folder.mkdir()
            try:
                found: dict[str, object] | str = ask(client, args.python, folder, store, list(truth))
            except (RuntimeError, OSError) as error:
                found = " ".join(str(error).split())
            shutil.rmtree(folder)
            rows.append(row(client, found, truth))
            print(rows[-1], flush=True)
    if args.write:
        page = args.write.read_text(encoding="utf-8")
        before, _, rest = page.partition(START)
        _, end, after = rest.partition(END)
        if not end:
            sys.exit(f"{args.write} has no {START} ... {END}")
        args.write.write_text("\n".join([before + START, *rows, END + after]), encoding="utf-8")


if __name__ == "__main__":
    main()
