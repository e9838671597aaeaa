from aimco.networks import Layered
from aimco.shapes import chain


class Wide(Layered):
    """One hidden layer, so many times as wide as the input."""

    times: int = 2

    def build(self, data, design, seeds):
        from aimco.nn.chain import fully_connected

        sizes = [data.inputs, self.times * data.inputs, data.outputs]
        return fully_connected(sizes, "tanh", design, seeds)

    def shapes(self, sample):
        inputs = chain(sample.shape, [1])[0].rows
        return chain(sample.shape, [self.times * inputs, sample.outputs])
