import torch

from aimco.tasks import Classification, Data, Task


class Quadrants(Task):
    """Whether two numbers have the same sign, which no single matrix can tell."""

    gap: float = 0.1

    def data(self, data_dir=None, seed=0, limit=None):
        x = 2 * torch.rand(1000, 2, generator=torch.Generator().manual_seed(seed)) - 1
        x = x[(x.abs() > self.gap).all(1)][:700]
        y = (x[:, 0] * x[:, 1] > 0).long()
        return Data("quadrants", Classification(2), x[:500][:limit], y[:500][:limit], x[500:], y[500:], (2,))
