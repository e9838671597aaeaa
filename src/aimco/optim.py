"""The optimizer of networks with arrays."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch.autograd import profiler
from torch.optim.optimizer import ParamsT, _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from aimco.arrays.doors import NotFinite
from aimco.ensemble import Rate
from aimco.nn.arguments import quote
from aimco.nn.handle import AnalogParameter, OuterProducts
from aimco.nn.passes import Holder, Role
from aimco.record import InputError

Group = dict[str, Any]  # of parameters and what is said of them, as torch has it
Given = torch.Tensor | tuple[str, torch.Tensor]  # a parameter, or its name and it
R = TypeVar("R")


class InMemory(torch.optim.Optimizer):
    """Analog layers learn by the rule of their design, all other parameters by a torch optimizer.

    Args:
        params: Parameters or groups, as in torch.optim. A group of analog layers takes lr and nothing else.
        lr: Learning rate, a number or (E, 1, 1) for an ensemble; that of the rule (`design.rule.lr`) when absent, which plays no part
            where it is given here.
        digital: Torch optimizer of the parameters that are not in arrays, a class or a `functools.partial` of one with its options;
            plain SGD when absent. Each group is then split in two, analog first.
        skip_non_finite: Whether a step whose inputs or gradients are NaN or infinite is left out; an error when not.

    Raises:
        InputError: An option that arrays cannot follow, a negative learning rate.

    Example:
        >>> import torch, aimco as ai
        >>> model = ai.nn.Linear(4, 3, design=ai.Design(device="ideal"))
        >>> optimizer = ai.optim.InMemory(model.parameters(), lr=0.1)
        >>> model(torch.ones(2, 4)).sum().backward()
        >>> optimizer.step()
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate | None = None,
        *,
        digital: Callable[..., torch.optim.Optimizer] | None = None,
        skip_non_finite: bool = False,
        **others: object,
    ) -> None:
        for name in others:
            raise InputError(
                f"{name} is nothing that arrays can do; give it to the other parameters: digital=partial(torch.optim.SGD, {name}=...)"
            )
        self._lr, self._make, self.digital, self.skip_non_finite = lr, digital, None, skip_non_finite
        groups: list[Any] = list(params)
        for group in groups:
            if isinstance(group, dict):
                _list_parameters(group)
        super().__init__(groups, {"lr": self._rate(groups) if lr is None else lr})

    def _rate(self, groups: Sequence[Given | Group]) -> Rate:
        """The learning rate of the rules, a number or (E, 1, 1)."""
        flat = (_unnamed(p) for g in groups for p in (g["params"] if isinstance(g, dict) else [g]))
        rates = {p.layer.rule.lr for p in flat if isinstance(p, AnalogParameter)}
        if len(rates) > 1:
            raise InputError(f"lr must be given, since the rules of the layers have several: {', '.join(str(r) for r in rates)}")
        rate = next(iter(rates), 0.1)
        return torch.tensor(rate)[:, None, None] if isinstance(rate, tuple) else rate

    def add_param_group(self, param_group: Group) -> None:
        """Add a group; see `torch.optim.Optimizer.add_param_group`."""
        _list_parameters(param_group)
        names = param_group["params"]
        lr = _checked_rate(param_group.get("lr", self.defaults["lr"]))
        for parameter in map(_unnamed, names):
            _rate_for(lr, parameter)
        analog = [p for p in names if isinstance(_unnamed(p), AnalogParameter)]
        held = [p for p in map(_unnamed, analog) if isinstance(p, AnalogParameter)]
        for name in param_group.keys() - {"params", "lr", "param_names", "initial_lr", "analog"}:
            if analog and param_group[name]:
                raise InputError(
                    f"{name} is nothing that arrays can do, got it in the group of {held[0].layer.title}; give the other "
                    "parameters a group of their own"
                )
        if self._make is None:
            super().add_param_group(param_group)
        else:
            self._split(param_group, analog, [p for p in names if not isinstance(_unnamed(p), AnalogParameter)])
        for p in held:
            p.holders.add(self)

    def _split(self, group: Group, analog: list[Given], others: list[Given]) -> None:
        """One group of analog parameters, and one that the digital optimizer and this one share."""
        if analog:
            super().add_param_group({"lr": group.get("lr", self.defaults["lr"]), "params": analog})
        if not others:
            return
        digital_group = {**group, "params": others}
        if "lr" not in digital_group and "lr" not in getattr(self._make, "keywords", {}):
            digital_group["lr"] = _checked_rate(self.defaults["lr"])
        if isinstance(digital_group.get("lr"), torch.Tensor):
            raise InputError(
                "lr must be one number for the digital optimizer, got one for each ensemble member; give it its own: "
                "digital=partial(torch.optim.SGD, lr=...)"
            )
        if self.digital is None:
            assert self._make is not None
            self.digital = self._make([digital_group])
        else:
            self.digital.add_param_group(digital_group)
        self.digital.state = self.state
        self.param_groups.append(self.digital.param_groups[-1])

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop gradients, as in torch, which also takes the time of it."""
        if not set_to_none:
            super().zero_grad(set_to_none)
            return
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    @staticmethod
    def profile_hook_step(func: Callable[..., R]) -> Callable[..., R]:
        """What torch puts around steps, a record for its profiler and hooks, only where there is a profiler or a hook."""
        recorded = torch.optim.Optimizer.profile_hook_step(func)
        everywhere = _global_optimizer_pre_hooks, _global_optimizer_post_hooks

        @functools.wraps(func)
        def step(self: InMemory, *args: object, **kwargs: object) -> R:
            hooks = self._optimizer_step_pre_hooks or self._optimizer_step_post_hooks or any(everywhere)
            return (recorded if hooks or profiler._is_profiler_enabled else func)(self, *args, **kwargs)

        return step

    @torch.no_grad()
    def step(self, closure: Callable[[], R] | None = None) -> R | None:  # type: ignore[override]
        """One update from what the gradients hold."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        due: dict[Holder, dict[Role, tuple[torch.Tensor, Rate]]] = {}
        others: list[tuple[torch.Tensor, torch.Tensor, Rate]] = []
        for group in self.param_groups:
            lr = _checked_rate(group["lr"])
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                if type(parameter) is AnalogParameter:
                    due.setdefault(parameter.layer, {})[parameter.role] = gradient, _rate_for(lr, parameter)
                else:
                    others.append((parameter, gradient, lr))
        for layer, gradients in due.items():
            if not self._may_learn(layer, gradients):
                return loss
        for layer, gradients in due.items():
            layer.learn(gradients)
        if self.digital is not None:
            self.digital.step()
        else:
            for parameter, gradient, lr in others:  # plain SGD
                rate = _rate_for(lr, parameter)
                parameter.sub_(gradient * rate) if isinstance(rate, torch.Tensor) else parameter.add_(gradient, alpha=-rate)
        return loss

    def _may_learn(self, layer: Holder, gradients: dict[Role, tuple[torch.Tensor, Rate]]) -> bool:
        """Whether gradients are such that arrays can be pulsed by them."""
        seen = None
        for role, (gradient, _) in gradients.items():
            if type(gradient) is not OuterProducts or gradient.rest is not None:
                raise InputError(
                    f"{layer.title} learns from products of inputs and errors alone, and its {role} has another gradient: of a penalty on "
                    "the weights themselves, or of passes before this optimizer was made"
                )
            if (seen is None or not gradient.agrees(seen)) and not gradient.finite:
                if self.skip_non_finite:
                    return False
                raise NotFinite(
                    "InMemory.step",
                    f"{layer.title} has NaN or infinite inputs or gradients; nothing was pulsed; "
                    "InMemory(..., skip_non_finite=True) skips such steps",
                )
            seen = gradient
        return True

    def __getstate__(self) -> Group:
        fields = {n: getattr(self, n) for n in ("_lr", "_make", "digital", "skip_non_finite")}
        return {**super().__getstate__(), **fields}

    def __setstate__(self, state: Group) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for parameter in group["params"]:
                if isinstance(parameter, AnalogParameter):
                    parameter.holders.add(self)
        if self.digital is not None:  # groups and state are shared again after they were loaded
            self.digital.state = self.state
            self.digital.param_groups = [g for g in self.param_groups if not isinstance(g["params"][0], AnalogParameter)]


def _list_parameters(group: Group) -> None:
    """Make a list of the parameters of a group, as torch does, which a generator gives only once; a set is left for torch to refuse."""
    params = group["params"]
    if not isinstance(params, set):
        group["params"] = [params] if isinstance(params, torch.Tensor) else list(params)


def _checked_rate(lr: Rate) -> Rate:
    """A learning rate as a number, or as a tensor (E, 1, 1) where there is one for each ensemble member."""
    if isinstance(lr, torch.Tensor):
        if lr.numel() == 1:
            lr = lr.item()
        elif lr.ndim != 3 or lr.shape[1:] != (1, 1):
            raise InputError(f"lr must be a number or a tensor (members, 1, 1), got a tensor {tuple(lr.shape)}")
    numbers = lr.flatten().tolist() if isinstance(lr, torch.Tensor) else [lr]
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, float | int) or not 0 <= number < math.inf:
            raise InputError(f"lr must be a number of at least 0, got {quote(number)}")
    return lr


def _rate_for(lr: Rate, parameter: torch.Tensor) -> Rate:
    """A learning rate in the axes that a parameter is multiplied in: the members of an ensemble are its first axis."""
    if not isinstance(lr, torch.Tensor):
        return lr
    analog = isinstance(parameter, AnalogParameter)
    members = parameter.layer.members if analog else parameter.shape[0] if parameter.ndim else 1
    if members != len(lr):
        whose = parameter.layer.title if analog else f"a parameter of shape {tuple(parameter.shape)}"
        raise InputError(f"lr must be a number, or one for each of the ensemble members, {members} for {whose}, got {len(lr)}")
    return lr if analog else lr.reshape(-1, *[1] * (parameter.ndim - 1))


def _unnamed(parameter: Given) -> torch.Tensor:
    """The parameter of a pair of name and parameter."""
    return parameter[1] if isinstance(parameter, tuple) else parameter
