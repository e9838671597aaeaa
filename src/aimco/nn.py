"""Torch modules whose weights live in arrays: `aimco.nn.Linear`, convolutions, recurrent layers, attention; and a summary of a model."""

from aimco.networks.analog import AnalogLayer
from aimco.networks.conv import Conv1d, Conv2d, Conv3d
from aimco.networks.handle import AnalogParameter
from aimco.networks.linear import Linear

__all__ = ["AnalogLayer", "AnalogParameter", "Conv1d", "Conv2d", "Conv3d", "Linear"]
