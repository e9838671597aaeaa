"""One device read against a fixed reference conductance."""

from aimco.cell import Cell


class Reference(Cell):
    """One device whose current is read against that of a reference at mid-range: w = weight_max (g - g_mid)/(half range).

    A learning rule may ask for another reference, such as each device's symmetry point, for an array of its own.
    Source: Gokmen & Vlasov 2016; Kim 2019.
    """
