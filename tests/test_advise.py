"""Advice: which algorithm makes a device learn, each with rates of its own."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

import aimco as ai
from aimco import demo
from aimco.advice import Question
from aimco.advice.answer import Candidate, Confirmed, ties
from aimco.advice.candidates import candidates
from aimco.advice.jobs import Job, Jobs
from aimco.cli import main
from aimco.studies.pack import Pack, failed
from aimco.studies.workers import evaluator
from aimco.tasks import load
from aimco.tunable import Tunable

TINY = {"network": {"kind": "mlp", "hidden": []}, "training": {"epochs": 4, "batch": 10}, "limit": 300}
BASE = {"device": "soft-bounds", "network": {"hidden": []}}


def test_every_rule_of_layers_is_a_candidate_or_is_refused_by_a_field():
    admitted, refused = candidates(BASE)
    assert {c.rule for c in admitted} | {r.rule for r in refused} >= {"sgd", "agad", "mixed-precision", "retention-tiki-taka", "e-rider"}
    assert all(c.design.rule.kind == c.rule and c.design.cell.kind == c.cell for c in admitted)
    assert all(r.reason.split()[0].count(".") >= 1 for r in refused), [r.reason for r in refused]
    assert len({repr(c.design) for c in admitted}) == len(admitted)


def test_the_space_of_a_rule_holds_what_it_takes_by_itself():
    for candidate in candidates(BASE)[0]:
        for tunable in candidate.design.rule.tunables(candidate.design):
            value = candidate.design.replace(tunable.path, tunable.prior or tunable.low)
            assert value.rule.kind == candidate.rule
    with pytest.raises(ValueError, match="must have 0 < low <= prior <= high"):
        Tunable("rule.lr", 1.0, 2.0, prior=3.0)


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("advice")
    return ai.advise("soft-bounds", rules=["sgd", "agad"], out=str(folder), progress=False, **TINY), folder


def test_the_best_is_confirmed_on_other_seeds_beside_software(answer):
    found, _ = answer
    best = found.best
    assert found.finished and len(best.scores) == 5 and found.digital is not None
    assert best.score == max(c.score for c in found.confirmed)
    assert best.score > 75, "a perceptron on 300 digits reaches 85 % in software"
    again = ai.evaluate(found.design(), "digits", seed=1, limit=300)
    assert 100 * again.metrics["accuracy"] == pytest.approx(best.scores[0], abs=1e-3)
    assert {t.candidate.rule for t in found.trials} == {"sgd", "agad"}
    assert {d.parameter for d in found.demands} == {"periphery.adc.bits", "periphery.dac.bits", "array.wires.word_ohm"}
    assert any(i.parameter == "device.cycle_noise" for i in found.influences)


def test_the_answer_says_it_in_words_and_on_a_page(answer):
    found, folder = answer
    words = found.sentences()
    assert words[0].startswith(f"soft-bounds learns digits best with {found.best.candidate.name}: {found.best.score:.1f}")
    page = (folder / "advice.html").read_text()
    for part in (*words, "Every way that was tried", "aimco run", "ai.evaluate"):
        assert part.replace("'", "&#x27;").replace("<", "&lt;").replace(">", "&gt;") in page
    designs = sorted((folder / "designs").iterdir())
    assert ai.Design.load(designs[0]) == found.design()
    document = json.loads(json.dumps(found.as_json(), default=float))
    assert document["confirmed"][0]["score"] == pytest.approx(found.best.score)


def test_the_same_question_resumes_and_answers_alike(answer):
    found, folder = answer
    kept = {path.name: path.stat().st_mtime_ns for path in (folder / "runs").iterdir()}
    again = ai.advise("soft-bounds", rules=["sgd", "agad"], out=str(folder), progress=False, **TINY)
    assert [c.scores for c in again.confirmed] == [c.scores for c in found.confirmed]
    assert again.influences == found.influences
    assert {path.name: path.stat().st_mtime_ns for path in (folder / "runs").iterdir()} == kept


def test_an_answer_is_given_whenever_time_is_up():
    found = ai.advise("soft-bounds", rules=["sgd"], minutes=1e-6, progress=False, **TINY)
    assert not found.finished and found.best is None
    assert "Nothing was tried on soft-bounds in the time given" in found.sentences()[0]


def test_a_device_of_noise_alone_is_said_not_to_learn():
    noise = ai.Device.named("soft-bounds").replace("read_noise", 5e-5)
    found = ai.advise(noise, rules=["sgd"], progress=False, **TINY)
    assert "does not learn digits by any rule that was tried" in found.sentences()[0]


def test_a_tie_is_what_paired_seeds_do_not_tell_apart():
    candidate = Candidate("sgd", "reference", None, ai.Design(device="ideal"))

    def confirmed(*scores):
        return Confirmed(candidate, {}, scores, {}, {})

    assert ties(confirmed(90.0, 91.0, 92.0), confirmed(89.9, 91.2, 91.8))
    assert not ties(confirmed(90.0, 91.0, 92.0), confirmed(88.0, 89.1, 90.0))
    one = confirmed(90.0)
    assert ties(one, one) and math.isinf(one.margin)
    assert confirmed(*(90 + np.arange(5.0))).margin == pytest.approx(2.776 * math.sqrt(2.5 / 5), rel=1e-3)


def test_a_users_own_convolutions_and_images_are_advised(tmp_path):
    """Which half of an image is bright, by a convolution and a linear layer of the user's file."""
    generator = np.random.default_rng(0)
    y = generator.integers(0, 2, 80)
    images = np.repeat(np.eye(2)[y], 2, axis=1)[:, None, :, None] + 0.1 * generator.standard_normal((80, 1, 4, 4))
    np.savez(tmp_path / "own.npz", X=images.astype(np.float32), y=y)
    layers = "nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(18, outputs)"
    source = f"from torch import nn\n\n\ndef net(inputs, outputs):\n    return nn.Sequential({layers})\n"
    (tmp_path / "net.py").write_text(source)
    network = f"{tmp_path / 'net.py'}:net"
    options = {"rules": ["agad"], "network": network, "training": {"epochs": 3}, "minutes": 0.15, "around": False}
    answer = ai.advise("soft-bounds", str(tmp_path / "own.npz"), progress=False, **options)
    assert answer.best.score > 90


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["nonsense"], "nonsense"),
        (["ideal", "--minutes", "0"], "minutes must be above 0"),
        (["ideal", "--workers", "0"], "workers must be a whole number of at least 1"),
        (["ideal", "--rule", "sdg"], "did you mean sgd"),
        (["ideal", "--task", "digitz"], "digitz"),
        (["ideal", "--network", "resistive"], "network must be one of layers"),
    ],
)
def test_bad_questions_are_one_sentence(words, part, capsys):
    assert main(["advise", *words]) == 2
    said = capsys.readouterr().err.strip()
    assert part in said and "\n" not in said


def test_a_question_is_plain_data():
    assert Question("ideal").base["training"] == {"epochs": 10, "batch": 10}


def test_kept_runs_are_those_of_the_same_source(tmp_path):
    """A user's file that was changed names other runs, though the design reads alike."""
    asked: list[int] = []

    def evaluate(packs, wanted=None, until=math.inf):
        asked.append(len(packs))
        return ((k, [failed("not run") | {"state": "complete"}] * len(pack.designs)) for k, pack in enumerate(packs))

    jobs = Jobs(evaluate, load("digits", limit=20), "digits", folder=tmp_path / "runs")
    for sign in ("1.0", "1.0", "1.1"):
        head = "from aimco import Response\n\n\nclass Mine(Response):\n    @staticmethod\n    def step(g, up, p):\n"
        (tmp_path / "mine.py").write_text(f"{head}        return {sign} * p.step_up if up else -p.step_down\n")
        device = {"g_min": 0.0, "g_max": 1e-6, "response": {"kind": f"{tmp_path / 'mine.py'}:Mine", "step_up": 1e-9, "step_down": 1e-9}}
        jobs.run([Job(ai.Design.of({"device": device}), (0,))])
    assert asked == [1, 0, 1]


def test_ways_are_tried_one_of_each_rule_first():
    """So that an answer in little time has seen every rule."""
    ways = candidates(BASE)[0]
    rules = {way.rule for way in ways}
    assert {way.rule for way in ways[: len(rules)]} == rules


def test_an_automatic_reference_is_not_the_choice_of_other_members():
    """The same design alone and beside a device of another kind of balance: refused, not changed."""
    balanced = ai.Design.of({"device": "soft-bounds", "network": {"hidden": []}, "rule": {"kind": "tiki-taka-v2"}})
    steep = balanced.replace("device.response.step_down", float(balanced.device.response.step_up) / 100)
    with pytest.raises(ai.InputError, match=r"rule\.reference must be given"):
        ai.evaluate_many([balanced, steep], "digits", seeds=[0, 0], limit=20, progress=False)


def test_circuits_that_cannot_be_or_cannot_learn_are_no_candidates():
    """A capacitor cell for a device that never leaks; single devices that only rise; capacitors whose charge nobody moves on."""
    cells = {device: {way.cell for way in candidates({**BASE, "device": device})[0]} for device in ("soft-bounds", "pcm", "capacitor-cmos")}
    assert cells["soft-bounds"] == {"reference", "pair", "multi-device"}
    assert cells["pcm"] == {"pair", "multi-device"}
    assert cells["capacitor-cmos"] >= {"capacitor6t1c", "capacitor-pcm", "reference"}
    pairs = [way.design.cell for way in candidates({**BASE, "device": "pcm"})[0] if way.cell == "multi-device"]
    assert all(cell.differential for cell in pairs)
    moving = {way.rule for way in candidates({**BASE, "device": "capacitor-cmos"})[0] if way.cell == "capacitor-pcm"}
    assert moving == {"weight-transfer"}


def test_what_would_not_be_done_in_time_does_not_begin(monkeypatch):
    """Once it is known how long such runs take."""
    begun = []

    def evaluate(packs, wanted=None, until=math.inf):
        for k, pack in enumerate(packs):
            if wanted(k):
                begun.append(pack)
                yield k, [{**failed("slow"), "wall_s": 1000.0} for _ in pack.designs]

    monkeypatch.setattr("aimco.advice.jobs.time.monotonic", lambda: 0.0)
    jobs = Jobs(evaluate, load("digits"), "digits")
    jobs.deadline = 100.0
    design = ai.Design.of(BASE)
    outcomes = jobs.run(
        [Job(design, (0,)), Job(design.replace("training.epochs", 2), (0,)), Job(design.replace("cell", {"kind": "pair"}), (0,))]
    )
    assert len(begun) == 2 and outcomes[1] is None and jobs.cut, "the second is like the first, which took 1000 s"


def test_processes_are_not_waited_for_beyond_their_time():
    """Packs that would take hours, and no time left; then the same evaluator is asked again."""
    design = ai.Design.of({**BASE, "training": {"epochs": 100_000}})
    long, short = (Pack([d.as_dict()], [0], "digits", 50, None) for d in (design, design.replace("training.epochs", 1)))
    with evaluator(2) as evaluate:
        assert list(evaluate([long, long, long, short], until=0.0)) == []
        ((k, outcomes),) = evaluate([short])
        assert k == 0 and outcomes[0]["state"] == "complete"


SHORT = ["--epochs", "5", "--limit", "600"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ("igzo-6t1c/pw200ns_2000pulses.csv igzo-6t1c/retention.csv", ["--rule", "agad", *SHORT]),
        ("rram-gong/gong_et_al.csv", ["--rule", "agad", *SHORT]),
        ("enode", ["--rule", "agad", *SHORT]),
        ("taox/TaOx_1.npz", ["--rule", "mixed-precision"]),  # which no rule of pulses alone teaches
    ],
)
def test_measured_files_are_answered_by_one_command(measured, files, words, capsys):
    """By a first answer, far above chance."""
    paths = [str(measured / name) for name in files.split()]
    assert main(["advise", *paths, *words, "--quick", "--no-around", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["confirmed"][0]["score"] > 40, document["answer"]


def test_the_demo_asks_of_pulses_and_of_the_catalogue(tmp_path, capsys, monkeypatch):
    """With two devices and one rule, as all take a minute; its pulses are those of the example."""
    assert demo.PULSES.read_bytes() == (Path(__file__).parents[1] / "examples/bring-your-device/pulses.csv").read_bytes()
    monkeypatch.setattr(demo, "DEVICES", ("ideal",))
    monkeypatch.setattr(demo, "RULES", ("sgd",))
    assert main(["demo", "--workers", "1", "--out", str(tmp_path)]) == 0
    printed, page = capsys.readouterr().out, (tmp_path / "report.html").read_text()
    for name in ("pulses", "ideal"):
        assert f"{name} learns digits best with sgd" in printed and f'href="{name}/advice.html"' in page
        assert (tmp_path / name / "advice.html").is_file() and list((tmp_path / name / "designs").iterdir())
    assert "what would help" not in printed, "a column of which nothing is known"
