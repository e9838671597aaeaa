"""Spiking Boltzmann machines: neurons and time, sampling, learning on an array, graphs cut by them; and one without spikes."""
