"""Cost: energy, latency and area as a pure function of a design and its counts."""

from aimco.cost.activity import Activity
from aimco.cost.network import Architecture, Shapes, inference, of_design, training
from aimco.cost.price import Price, price, table
from aimco.cost.technology import Technology

__all__ = ["Activity", "Architecture", "Price", "Shapes", "Technology", "inference", "of_design", "price", "table", "training"]
