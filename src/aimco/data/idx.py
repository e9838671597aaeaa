"""IDX files, the format of MNIST."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from aimco.record import InputError

_LARGEST = 2_000_000_000  # values that are read, a byte each


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Bytes of an IDX file, gzipped if its name ends in .gz.

    The magic number 0x0800 + dimensions, the sizes (each 4 bytes, high byte first), then the values, one byte each.

    Args:
        path: the file.
        dimensions: 3 for images, 1 for labels.

    Returns:
        Values 0..255, uint8, of the sizes in the header.

    Raises:
        InputError: not readable, not gzip, cut short, another magic number, or other than the promised number of values.

    Source: LeCun, Cortes and Burges, "The MNIST database", section on file formats.
    """
    header, again = 4 + 4 * dimensions, "fetch the file again"
    data = _file_bytes(path, header)
    if len(data) < header:
        raise InputError(f"{path}: must have a header of {header} bytes, got {len(data)} bytes; {again}")
    magic, *sizes = np.frombuffer(data[:header], ">u4").tolist()
    if magic != 0x0800 + dimensions:
        what = {1: "labels", 3: "images"}.get(dimensions, "values")
        rule = f"must begin with {0x0800 + dimensions}, the magic number of {what}"
        raise InputError(f"{path}: {rule}, got {magic}; check that the files have not changed names, or {again}")
    shape = " x ".join(map(str, sizes))
    values = len(data) - header
    if math.prod(sizes) != values:
        got = "more" if values > min(math.prod(sizes), _LARGEST) else str(values)
        raise InputError(f"{path}: must hold {shape} values as its header says, got {got}; {again}")
    if 0 in sizes:
        raise InputError(f"{path}: must hold at least one value, got {shape}; {again}")
    return np.frombuffer(data, np.uint8, offset=header).reshape(sizes)


def _file_bytes(path: Path, header: int) -> bytes:
    """The bytes of a file, one more than its header promises at most, so that little that unpacks to much is not unpacked."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(header)
            promised = math.prod(np.frombuffer(head[4:], ">u4").tolist()) if len(head) == header else 0
            return head + file.read(min(promised, _LARGEST) + 1)
    except EOFError:
        raise InputError(f"{path}: must be a whole gzip file, got one that is cut short; fetch the file again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        fix = "fetch the file again, or drop .gz from its name if it is unpacked"
        raise InputError(f"{path}: must be a sound gzip file, got one that is not ({str(error).rstrip('.')}); {fix}") from None
    except OSError as error:
        raise InputError(f"{path}: must be readable, got {error.strerror or error}; check its permissions") from None
