"""Cost: energy, latency and area as a pure function of a design and its counts."""

from aimco.cost.price import Price, Technology, price, sample_latency, table

__all__ = ["Price", "Technology", "price", "sample_latency", "table"]
