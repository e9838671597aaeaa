"""Torch modules whose weights live in arrays: `aimco.nn.Linear`, `aimco.nn.Conv2d`, `aimco.nn.LSTM`."""

from aimco.networks.layers import AnalogLayer, AnalogParameter, Conv2d, Linear
from aimco.networks.lstm import LSTM

__all__ = ["LSTM", "AnalogLayer", "AnalogParameter", "Conv2d", "Linear"]
