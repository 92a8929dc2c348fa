"""The league: who makes the best masks from N labels? Every alternative beside the factory, in every domain.

    python benchmarks/league.py --data DATA --imagenet MOBILENETV2 --out league --minutes 30   # as often as needed
    python benchmarks/league.py --data DATA --imagenet MOBILENETV2 --out league --list
    python benchmarks/league.py --data DATA --out league --only nuclei/forest,leaves/real_n04

DATA is the folder with nuclei64/ and leaves/. A cell (domain, method, number of labels, seed) is one result file; what
is there is not made again, so the league runs in pieces and survives being killed. When it stops, it writes league.md,
league.json and league.png of all cells that are done, and says how many hours they took and what is missing may take.
``OUT/nuclei`` and ``OUT/leaves`` are studies of ``downstream.py``: cells that such a folder has are taken as they are.

Methods are the lines of ``league_methods.py``: labels alone, mean teacher, the same network pretrained on the pictures
without labels, ImageNet's MobileNetV2, a pixel forest, the interpreter without a data set (by inversion; by the
discriminator's features), and the factory's. Networks train for the same steps with the same augmentation on the same
labels. Nothing is chosen on val here.
"""

import argparse
import copy
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from domains import DOMAINS
from downstream import Study
from downstream_cells import Cell
from downstream_options import study_options
from league_methods import METHODS, UPPER, Method
from league_report import hours_left, write_league

from labelfactory.errors import InputError

LABELS = (1, 4, 8, 16)


class Place(NamedTuple):
    """A cell of a domain."""

    domain: str
    method: Method
    cell: Cell

    @property
    def name(self) -> str:
        return f"{self.domain}/{self.cell.name}"


def places(domains: list[str], labels: tuple[int, ...], seeds: tuple[int, ...]) -> list[Place]:
    """All cells, seed by seed, so that whoever stops early has whole lines of fewer seeds."""
    found = []
    for seed in seeds:
        for domain in domains:
            found.append(Place(domain, UPPER, UPPER.cell(0, seed)))
            found += [Place(domain, m, m.cell(n, seed)) for n in labels for m in METHODS.values()]
    return found


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing until the time is over, then write table and figure."""
    parser = study_options(__doc__)
    parser.set_defaults(labels=LABELS, out="league")
    parser.add_argument("--domains", default=",".join(DOMAINS), help="some of them, with commas between")
    parser.add_argument("--generator", action="append", default=[], help="DOMAIN=PLACE, in place of the bundled one")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    out, domains, began = Path(options.out), options.domains.split(","), time.monotonic()
    if unknown := set(domains) - set(DOMAINS):
        raise InputError(f"domain {', '.join(sorted(unknown))}: expected some of {', '.join(DOMAINS)}")
    if odd := [text for text in options.generator if "=" not in text]:
        raise InputError(f"generator {odd[0]}: expected DOMAIN=PLACE, like leaves=run/generator.safetensors")
    given = dict(text.split("=", 1) for text in options.generator)
    wanted = places(domains, options.labels, options.seeds)
    wanted = [place for place in wanted if any(word in place.name for word in options.only.split(","))]
    missing = [place for place in wanted if not _done(out, place)]
    print(f"{len(wanted) - len(missing)} of {len(wanted)} cells are done")
    if options.list:
        for place in wanted:
            print("      " if place in missing else "done  ", place.name)
        return
    if options.imagenet is None and (without := [place for place in missing if place.cell.start == "imagenet"]):
        print(f"left out: {len(without)} cells that start from ImageNet; --imagenet names the file of its weights")
        missing = [place for place in missing if place not in without]
    studies = {name: _study(options, name, given) for name in dict.fromkeys(place.domain for place in missing)}
    for place in missing:
        if time.monotonic() - began > 60 * options.minutes:
            print(f"{options.minutes:g} minutes are over; the same command goes on")
            break
        if not _done(out, place):  # another cell may have needed it
            print(place.name, flush=True)
            place.method.run(studies[place.domain], place.cell)
    write_league(out, domains, options.labels)
    print(hours_left(out, [(p.domain, p.cell) for p in wanted]))


def _study(options: argparse.Namespace, name: str, given: dict[str, str]) -> Study:
    """The study of a domain; InputError where its data or its generator are not there."""
    own, domain = copy.copy(options), DOMAINS[name]
    own.data, own.out = str(Path(options.data) / domain.name), str(Path(options.out) / name)
    own.generator = given.get(name, domain.generator)
    return Study(own, domain)


def _done(out: Path, place: Place) -> bool:
    return (out / place.domain / "cells" / f"{place.cell.name}.json").exists()


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"league: {error}")
