"""Nonlinear resistive networks: their elements, their operating points, and netlists for ngspice."""
