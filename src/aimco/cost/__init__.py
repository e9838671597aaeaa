"""Cost: energy, latency and area as a pure function of a design and its counts."""

from aimco.cost.activity import Activity
from aimco.cost.network import Network, inference, training
from aimco.cost.price import Price, price, table
from aimco.cost.technology import Technology

__all__ = ["Activity", "Network", "Price", "Technology", "inference", "price", "table", "training"]
