"""Counter-based random numbers: a draw is a pure function of (seed, stream, step, element).

There is no generator to advance and no global seed. A 64-bit key names (seed, stream); `base` mixes
the step into it; a 32-bit hash of base + element is the draw. The same draws come out whatever the
thread count, the batch split or the place in an ensemble. The functions here are the definition in
plain numpy; `kernels/intrinsics.py` holds the same arithmetic for compiled code and is tested equal to it.

Source: hash32 is the two-round multiply-xorshift mixer with Wellons' constants (Wellons 2018,
"Prospecting for hash functions"); the 64-bit mixer is the finaliser of SplitMix64 (Steele 2014).
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

GOLDEN = 0x9E3779B97F4A7C15
ROUGH_MEAN = 12 + (1 - 2.0**-8) / 2
ROUGH_SCALE = (6 + (1 - 2.0**-16) / 12) ** -0.5
_MASK = (1 << 64) - 1
_PIECE = 2**14  # numbers that are worked on at once, in the cache of a core


def stream_key(seed: int, *names: str | int) -> int:
    """64-bit key of one stream of draws, for example `stream_key(0, "layer 1", "W", "pulse")`."""
    text = repr((int(seed), *names)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def stream_keys(seeds: tuple[int, ...], *names: str | int) -> np.ndarray:
    """Keys of one stream for each member of an ensemble, (E,) uint64: a member's key depends on its seed alone."""
    return np.array([stream_key(seed, *names) for seed in seeds], np.uint64)


def base(key: int, step: int) -> int:
    """32-bit start of the draws of one step of a stream."""
    z = (key + (step + 1) * GOLDEN) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return (z ^ (z >> 31)) >> 32


def hash32(x: np.ndarray) -> np.ndarray:
    """Mix 32-bit words; neighbours in, unrelated words out."""
    x = np.asarray(x, np.uint32)
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def rough_normal(h: np.ndarray) -> np.ndarray:
    """Nearly normal numbers from random words, the noise of pulse kernels: mean 0, variance 1, kurtosis 2.92.

    The number of set bits among 24 is binomial; the other 8 bits, as a fraction u, smear its steps:
    z = (popcount(h mod 2^24) + u - mean) / sqrt(24/4 + 1/12), |z| <= 5.
    """
    h = np.asarray(h, np.uint32)
    u = (h >> np.uint32(24)).astype(np.float32) * np.float32(2.0**-8)
    z = np.bitwise_count(h & np.uint32(0xFFFFFF)).astype(np.float32) + u
    return (z - np.float32(ROUGH_MEAN)) * np.float32(ROUGH_SCALE)


def uniform(keys: np.ndarray, step: int, count: int, dtype: npt.DTypeLike = np.float64) -> np.ndarray:
    """Uniform numbers in (0, 1), (E, count); as float32 they are rounded, and 1 may be among them."""
    drawn = np.empty((len(keys), count), dtype)
    for member_drawn, key in zip(drawn, keys, strict=True):
        start = base(int(key), step)
        for first in range(0, count, _PIECE):
            piece = member_drawn[first : first + _PIECE]
            piece[:] = _uniform(start + first, piece.size)
    return drawn


def _uniform(start: int, count: int) -> np.ndarray:
    """Uniform numbers of words that follow each other, (count,)."""
    u = hash32(np.arange(count, dtype=np.uint32) + np.uint32(start & 0xFFFFFFFF)) + 0.5
    return np.divide(u, 2.0**32, out=u)


def normal(keys: np.ndarray, step: int, shape: tuple[int, ...], part: slice | None = None) -> torch.Tensor:
    """Normal numbers, (E, *shape) float32, by Box and Muller: sqrt(-2 ln u) cos(2 pi v).

    Args:
        keys: Streams, (E,) uint64.
        step: Of the streams.
        shape: Of the draws of one member.
        part: Rows of the first axis that are wanted; all when absent. They are the same whatever part is drawn at once.
    """
    count = int(np.prod(shape, dtype=np.int64))
    rows, each = range(shape[0])[slice(None) if part is None else part], count // max(shape[0], 1)
    z = np.empty((len(keys), len(rows) * each), np.float32)
    for member_z, key in zip(z, keys, strict=True):
        start = base(int(key), step) + rows.start * each
        for first in range(0, member_z.size, _PIECE):
            piece = member_z[first : first + _PIECE]
            u, v = (_uniform(start + k + first, piece.size) for k in (0, count))
            np.sqrt(np.multiply(np.log(u, out=u), -2, out=u), out=u)
            np.cos(np.multiply(v, 2 * np.pi, out=v), out=v)
            np.multiply(u, v, out=piece, casting="same_kind")
    return torch.from_numpy(z.reshape(len(keys), len(rows), *shape[1:]))


def permutation(seed: int, stream: str, step: int, count: int) -> np.ndarray:
    """A random order of range(count), the same for the same (seed, stream, step)."""
    key = np.array([stream_key(seed, stream)], np.uint64)
    return np.argsort(uniform(key, step, count)[0], kind="stable")


@contextlib.contextmanager
def keep_generators() -> Iterator[None]:
    """Leave the global generators of torch, numpy and Python where they were, whatever users' code draws of them."""
    of_torch, of_numpy, of_python = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(of_torch)
        np.random.set_state(of_numpy)
        random.setstate(of_python)
