"""Resistive circuits in three levels: what a circuit is, what solves it, and what is asked of a solved one.

Data: `elements`, `circuit`, `operating_point`, `program`. Solvers: `solvers`, which chooses between `descent`, its compiled form
`compiled` and `newton`; `port_reduction` of crossbars with wires, by `linear` networks. Questions: exact gradients (`adjoint`), local
learning (`local_step`), the time to settle (`settling`), netlists for ngspice (`spice`).
"""
