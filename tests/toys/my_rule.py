import torch

from aimco import Rule


class Momentum(Rule):
    """Pulses of a running mean of inputs and errors, m <- beta m + (1 - beta) v."""

    beta: float = 0.5

    def start(self, arrays):
        members, rows, columns = arrays["W"].shape
        return {"x": torch.zeros(members, 1, rows), "d": torch.zeros(members, 1, columns)}

    def update(self, arrays, state, x, d, lr):
        for k in range(x.shape[1]):
            for name, now in (("x", x), ("d", d)):
                state[name].mul_(self.beta).add_((1 - self.beta) * now[:, k : k + 1])
            arrays["W"].pulse(state["x"], state["d"], lr)
