"""Resistive networks: crossbars, diodes and amplifiers as one circuit that computes and learns without converters."""
