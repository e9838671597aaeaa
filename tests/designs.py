"""A design for each learning rule: the RPU's device, and what a rule asks for beside it."""

from __future__ import annotations

import aimco as ai
from aimco.learning import Rule

LAYER_RULES = [kind for kind in Rule.kinds() if Rule.of_kind(kind).teaches == "layers"]
_LEAKS = {"device": ai.Device.named("soft-bounds").replace("retention_s", 1.0).as_dict()}
NEEDED = {
    "retention-tiki-taka": _LEAKS,
    "chopped-retention-tiki-taka": _LEAKS,
    "probabilistic-write": {"device": ai.Device.named("soft-bounds").replace("programming_noise", [2e-10, 0.0, 0.0]).as_dict()},
    "weight-transfer": {"cell": {"kind": "capacitor-pcm"}},
}


def design(rule: str = "sgd", **parts) -> ai.Design:
    return ai.Design.of({"device": ai.Device.named("soft-bounds").as_dict(), "rule": {"kind": rule}} | NEEDED.get(rule, {}) | parts)
