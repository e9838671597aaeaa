from aimco import Cell


class Twins(Cell):
    """Two devices in parallel that take updates in turn: twice as many states, and half of what is random in them."""

    @property
    def signs(self):
        return (1, 1)

    @property
    def weight(self):
        return super().weight / 2

    @property
    def leads(self):
        return (0, 1)

    def route(self, before, count):
        for k in range(count):
            yield k, k + 1, (((before + k) % 2, 0),)

    def write(self, tile, target, only=None):
        for crossbar in tile.crossbars:
            crossbar.program(target, only=only)
