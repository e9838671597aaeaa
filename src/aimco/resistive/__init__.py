"""Resistive networks: crossbars, diodes and amplifiers as one circuit that settles."""
