"""`estimate`: what a network costs on a design, without a run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from aimco.cost import inference, training
from aimco.cost.activity import ASSUMED, Activity, load
from aimco.cost.network import Architecture, busyness, of_design
from aimco.design import Design
from aimco.files import OWN
from aimco.networks import Network
from aimco.report.cost import Costs
from aimco.tasks import sample_of

if TYPE_CHECKING:
    from aimco.result import Result


def estimate(
    design: Design,
    *,
    network: str | None = None,
    task: object = "digits",
    data_dir: str | None = None,
    activity: str | os.PathLike[str] | Result | None = None,
) -> Costs:
    """Energy, time and area of one sample's inference and of one training sample, from the shapes of layers: `aimco cost`.

    Args:
        design: What is priced.
        network: "vgg8", a FILE.toml of layers, or a kind of network, as "FILE.py:FUNCTION"; the design's own when absent.
        task: Whose samples the network is given, as of `evaluate`.
        data_dir: Folder of the task's files.
        activity: Pulses of an update as a run measured them, its `Result` or the JSON file of it; assumed when absent.

    Raises:
        InputError: A network or a rule that only a run can price; an activity of another network.

    Example:
        >>> import aimco as ai
        >>> ai.estimate(ai.Design(device="rpu"), network="vgg8").inference.area_m2 > 1e-6
        True
    """
    if network is not None and (OWN in network or network in Network.kinds()):
        design, network = design.replace("network", {"kind": network}), None
    layers = of_design(design, sample_of(task, data_dir)) if network is None else Architecture.named(network)
    measured, source = _measured(activity)
    busy = busyness(design, layers, measured)
    return Costs(design, layers, inference(design, layers), training(design, layers, activity=busy), busy, source)


def _measured(activity: str | os.PathLike[str] | Result | None) -> tuple[Sequence[Mapping[str, Activity]] | None, str]:
    """The activity of the layers, and where it is from."""
    if activity is None:
        return None, ASSUMED
    if isinstance(activity, str | os.PathLike):
        return load(os.fspath(activity)), os.fspath(activity)
    layers = [{name: Activity.of(fields) for name, fields in arrays.items()} for arrays in activity.activity.values()]
    return layers, f"measured on {activity.task}, seed {activity.seed}"
