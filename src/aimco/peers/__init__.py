"""Other programs that do the same work, for benchmarks and tests."""
