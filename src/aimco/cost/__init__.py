"""Cost: energy, latency and area as a pure function of a design and its counts."""
