"""Shared fixtures. Data and programs that a machine may lack are asked for here, so that what is skipped is skipped by name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from aimco.studies.workers import one_thread

IN_CI = os.environ.get("CI") == "true"

# Numbers here are in SI units. Joules, square metres and amperes are often below the 1e-12 that `pytest.approx` allows either way unless
# told otherwise, so that it would take any of them for any other.
type(pytest.approx(0.0)).DEFAULT_ABSOLUTE_TOLERANCE = 0.0  # pyright: ignore[reportAttributeAccessIssue]

settings.register_profile("local", deadline=None)
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable" if IN_CI else "local")


@pytest.fixture(scope="session", autouse=True)
def one_thread_in_each_of_many_processes() -> None:
    """Tests that run side by side would only wake each other's threads."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        one_thread()


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """Layers draw their seeds from torch's generator: each test starts from the same."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """Folder of the MNIST files, named by AIMCO_DATA."""
    folder = os.environ.get("AIMCO_DATA")
    if not folder or not (Path(folder) / "train-images-idx3-ubyte.gz").is_file():
        pytest.skip(
            f"AIMCO_DATA must name a folder with the four MNIST files (train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, "
            f"t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz), got {folder!r}"
        )
    return Path(folder)


@pytest.fixture(scope="session")
def measured() -> Path:
    """Folder of measured devices, named by AIMCO_DEVICE_DATA."""
    folder = os.environ.get("AIMCO_DEVICE_DATA")
    if not folder or not (Path(folder) / "igzo-6t1c/retention.csv").is_file():
        pytest.skip(f"AIMCO_DEVICE_DATA must name a folder with igzo-6t1c, rram-gong, taox and enode, got {folder!r}")
    return Path(folder)


@pytest.fixture(scope="session")
def ngspice() -> str:
    """Path of the circuit simulator that circuits are checked against; its absence is a failure in CI."""
    program = shutil.which("ngspice")
    if program is None:
        (pytest.fail if IN_CI else pytest.skip)("ngspice is not installed; `make oracles` says how")
    return program
