"""The lowest versions that pyproject.toml declares, as constraints of pip, and what the tests say of them (`make test-lowest`).

python tools/lowest.py constraints           prints NAME==VERSION of every direct dependency
python tools/lowest.py keep LOG FOLDER       writes FOLDER/lowest.json: the versions of this environment, and the last line of the tests
"""

from __future__ import annotations

import json
import platform
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = ("cluster", "notebook")  # of those that bring what aimco imports


def lowest() -> dict[str, str]:
    """Name -> lowest declared version of each direct dependency."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *(each for extra in EXTRAS for each in project["optional-dependencies"][extra])]
    pairs = (re.fullmatch(r"([a-z0-9-]+)>=([0-9.]+)", each) for each in declared)
    return {pair[1]: pair[2] for pair in pairs if pair is not None}


def main() -> None:
    """Do what the first word says."""
    if sys.argv[1] == "constraints":
        print("\n".join(f"{name}=={version}" for name, version in lowest().items()))
        return
    log, folder = map(Path, sys.argv[2:])
    versions = {name: metadata.version(name) for name in lowest()} | {"python": platform.python_version()}
    result = {"versions": versions, "tests": log.read_text().strip().splitlines()[-1].strip("= ")}
    (folder / "lowest.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
