"""Pulse responses, one file each: `soft-bounds` is class SoftBounds in soft_bounds.py."""
