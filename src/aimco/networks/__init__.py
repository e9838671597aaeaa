"""Networks made of arrays."""
