import torch

from aimco.tasks import Classification, Data, Task


class Rings(Task):
    """Whether a point of the plane lies in a ring, which no single matrix can tell."""

    inner: float = 0.4
    outer: float = 0.8

    def data(self, data_dir=None, seed=0, limit=None):
        x = 2 * torch.rand(600, 2, generator=torch.Generator().manual_seed(seed)) - 1
        radius = x.norm(dim=1)
        y = ((radius > self.inner) & (radius < self.outer)).long()
        return Data("rings", Classification(2), x[:500][:limit], y[:500][:limit], x[500:], y[500:], (2,))
