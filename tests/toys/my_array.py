from aimco.arrays.kinds import Array, ProgrammedArray


class Lossy(Array):
    """An array in which a part of every current is lost."""

    left: float = 0.9

    def program(self, conductances):
        return Read(self.left * conductances)


class Read(ProgrammedArray):
    def __init__(self, g):
        self.g = g

    def read(self, voltages, transposed):
        return voltages @ (self.g.T if transposed else self.g)
