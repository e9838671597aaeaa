"""Torch modules whose weights live in arrays: `aimco.nn.Linear`, convolutions, recurrent layers, attention; and a summary of a model."""

from aimco.networks.analog import AnalogLayer
from aimco.networks.attention import Embedding, MultiheadAttention
from aimco.networks.conv import Conv1d, Conv2d, Conv3d
from aimco.networks.handle import AnalogParameter
from aimco.networks.linear import Linear
from aimco.networks.recurrent import GRU, LSTM, RNN
from aimco.networks.summary import summary

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
