"""Compiled inner loops, each beside a plain reference that defines it."""
