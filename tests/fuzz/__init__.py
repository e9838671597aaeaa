"""Damaged inputs of every kind through the command line: `make fuzz`."""
