"""Torch modules whose weights live in arrays: `aimco.nn.Linear`, `aimco.nn.Conv2d`."""

from aimco.networks.layers import AnalogLayer, AnalogParameter, Conv2d, Linear

__all__ = ["AnalogLayer", "AnalogParameter", "Conv2d", "Linear"]
