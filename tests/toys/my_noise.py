import torch

from aimco.device.noises import NoiseSource, member_column


class Wander(NoiseSource):
    """One relaxation of a single rate (an Ornstein-Uhlenbeck process), exact in any time."""

    amplitude: float = 0.05
    tau_s: float = 1.0

    def start(self, draws, devices):
        return {"x": draws.normal("start", 0, (devices,))}

    def advance(self, tensors, seconds, draws, number):
        x, keep = tensors["x"], torch.exp(-seconds / member_column(self.tau_s))
        x.mul_(keep).add_(torch.sqrt(1 - keep**2) * draws.normal("step", number, x.shape[1:]))

    def relative(self, tensors, ratio):
        return member_column(self.amplitude) * tensors["x"]
