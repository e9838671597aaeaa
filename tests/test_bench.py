"""Benches name parts of other modules: those parts are there."""

from __future__ import annotations

from aimco.bench import costs


def test_shares_of_a_run_are_found(monkeypatch):
    monkeypatch.setattr(costs, "_RUN", costs._RUN.replace("training.epochs", 1))
    for bench in (costs._counting, costs._clock):
        measured = bench(lambda case: None)
        assert 0 < measured["peer_value"] < measured["value"]
