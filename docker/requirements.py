"""Prints the requirements of pyproject.toml and of the extras that are named: a layer of their own, before the code."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
for requirement in project["dependencies"] + [
    r for extra in sys.argv[1:] for r in project["optional-dependencies"][extra]
]:
    print(requirement)
