"""Torch modules whose weights live in arrays: `aimco.nn.Linear`, convolutions, recurrent layers, attention; and a summary of a model."""

from aimco.nn.analog import AnalogLayer
from aimco.nn.attention import Embedding, MultiheadAttention
from aimco.nn.conv import Conv1d, Conv2d, Conv3d
from aimco.nn.handle import AnalogParameter
from aimco.nn.linear import Linear
from aimco.nn.recurrent import GRU, LSTM, RNN
from aimco.nn.summary import summary

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AnalogLayer",
    "AnalogParameter",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "Embedding",
    "Linear",
    "MultiheadAttention",
    "summary",
]
