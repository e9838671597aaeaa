"""Samples to learn from, what is asked of them, and how they are read and checked."""
