"""Rules and devices in users' own files: what a trial refuses and what it lets pass, paths, and designs that carry their files."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import aimco as ai
from aimco import learning, rule_trial, user_code
from aimco.cli import main
from aimco.device.response import Response
from aimco.device.response_trial import response_notes
from aimco.learning import Rule
from aimco.studies.space import Study
from designs import LAYER_RULES, design
from test_contracts import DEVICES

PAGE = Path(__file__).parent.parent / "docs" / "own-rules-and-devices.md"
SIZES = {"step_up": 0.01, "step_down": 0.01}


def response(body: str, head: str = "") -> str:
    """A file with a response, whose `step` stands on line 6 without a head."""
    start = f"from math import cos, sqrt\nfrom aimco import Response\n{head}class Mine(Response):\n    width: float = 1.0\n"
    return f"{start}    @staticmethod\n{body}"


def step(line: str, head: str = "") -> str:
    return response(f"    def step(g, up, p):\n        {line}\n", head)


def rule(*lines: str, head: str = "", above: str = "") -> str:
    """A file with a rule of one array, whose `update` stands on line 5 without a head."""
    body = "".join(f"        {line}\n" for line in lines)
    start = f"import torch\n{head}from aimco.learning import Rule, uniform\n\nclass Mine(Rule):\n{above}"
    return start + f"    def update(self, arrays, state, x, d, lr):\n{body}"


def device_of(file: Path, **fields) -> ai.Device:
    return ai.Device.of({"g_min": 0.0, "g_max": 2.0, "response": {"kind": f"{file}:Mine", **SIZES}} | fields)


def design_of(file: Path, name: str = "Mine", **options) -> ai.Design:
    return ai.Design.of({"device": "ideal", "rule": {"kind": f"{file}:{name}"} | options, "network": {"hidden": [4]}})


def assert_refused(make, *words: str) -> None:
    """The sentence in which something is refused."""
    with pytest.raises(ai.InputError) as caught:
        make()
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


GOOD_STEP = step("return p.step_up * cos(p.width * g) if up else -p.step_down * cos(p.width * g)")
GOOD_RULE = rule("arrays['W'].pulse(x, d, lr)")

RESPONSES = {
    "no method": ("from aimco import Response\nclass Mine(Response):\n    pass\n", ("mine.py:2:", "has no method step(g, up, p) or pulse")),
    "misspelt": (GOOD_STEP.replace("def step", "def stepp"), ("mine.py:3:", "is stepp meant to be step?")),
    "misspelt option": (GOOD_STEP + "    @staticmethod\n    def derives(p):\n        return {}\n", ("mine.py:9:", "meant to be derive?")),
    "arguments": (GOOD_STEP.replace("g, up, p)", "g, p)"), ("mine.py:6:", "Mine.step must take (g, up, p)", "got (g, p)")),
    "self": (GOOD_STEP.replace("    @staticmethod\n", "").replace("(g,", "(self, g,"), ("mine.py:5:", "be a @staticmethod")),
    "not called p": (step("return 0.01 if up else -0.01").replace("up, p)", "up, q)"), ("mine.py:6:", "got (g, up, q)")),
    "NaN": (step("return p.step_up * float('nan')"), ("mine.py:6:", "gives nan for g = ", "must be finite")),
    "NaN beyond the nominal range": (
        step("return p.step_up * sqrt(1 - g) if up else -p.step_down"),
        ("mine.py:7: ValueError: math domain error, for g = ", "up = True"),
    ),
    "division": (step("return p.step_up / (g - g) if up else -p.step_down"), ("mine.py:7: ZeroDivisionError: ",)),
    "up lowers": (step("return -p.step_up if up else -p.step_down"), ("mine.py:6:", "must not lower the conductance by an up pulse")),
    "down raises": (step("return p.step_up"), ("mine.py:6:", "must not raise the conductance by a down pulse")),
    "nothing": (step("if up: return p.step_up"), ("mine.py:6:", "must return one number, got NoneType")),
    "an array": (
        step("return np.array([p.step_up, g])", "import numpy as np\n"),
        ("mine.py:7:", "must return one number, got ndarray"),
    ),
    "numpy": (
        step("return p.step_up * np.exp(-g) if up else -p.step_down", "import numpy as np\n"),
        ("mine.py:8:", "Mine.step reads np of numpy; a scalar function takes one number at a time"),
    ),
    "numpy in a helper": (
        step("return p.step_up * soft(g) if up else -p.step_down", "import numpy as np\ndef soft(g):\n    return np.exp(-g)\n"),
        ("mine.py:5:", "reads np of numpy"),
    ),
    "random": (
        step("return p.step_up * random.random() if up else -p.step_down", "import random\n"),
        ("mine.py:7:", "gives two results for the same state", "random numbers"),
    ),
    "no field": (
        step("return p.step_up if up or g > 5 else -p.step_down * p.withd"),
        ("mine.py:7: p.withd is not a field", "width"),
    ),
    "a list": (step("return p.step_up * TABLE[0] if up else -p.step_down", "TABLE = [1.0]\n"), ("mine.py:7:", "step reads TABLE, a list")),
    "not compiled": (step("return p.step_up + 0 * sum(x for x in (g,)) if up else -p.step_down"), ("mine.py:6:", "cannot be compiled")),
    "endless": (step("while up: g = g\n        return -p.step_down"), ("mine.py:7:", "has not returned after 1000000 lines")),
    "endless at some states": (step("while g > 0.5: pass\n        return -p.step_down"), ("mine.py:7:", "has not returned", "g = 0.55")),
    "syntax": ("from aimco import Response\nclass Mine(Response:\n", ("mine.py:2: SyntaxError: ",)),
    "import": ("import nothing_of_that_name\n", ("mine.py:1: ModuleNotFoundError: No module named 'nothing_of_that_name'",)),
    "exit": ("raise SystemExit(0)\n", ("mine.py:1: SystemExit: 0",)),
    "no class": (GOOD_STEP.replace("class Mine", "class Mime"), ("there is no class Mine in the file (did you mean Mime?)",)),
    "another class": ("class Mine:\n    pass\n", ("mine.py:1: Mine must be a subclass of Response, got one of object",)),
    "no class at all": ("Mine = 3\n", ("mine.py: Mine must be a subclass of Response, got 3",)),
}


@pytest.mark.parametrize("fault", RESPONSES)
def test_a_wrong_response_is_one_sentence_with_file_and_line(tmp_path, fault):
    text, words = RESPONSES[fault]
    (tmp_path / "mine.py").write_text(text)
    assert_refused(lambda: device_of(tmp_path / "mine.py", spread={"g_max": 0.3}), *words)


RULES = {
    "no method": ("from aimco.learning import Rule\nclass Mine(Rule):\n    pass\n", ("mine.py:2:", "Mine has no method update(self,")),
    "misspelt": (GOOD_RULE.replace("def update", "def updat"), ("mine.py:4:", "is updat meant to be update?")),
    "misspelt option": (
        rule("arrays['W'].pulse(x, d, lr)", above="    def strat(self, arrays):\n        return {}\n"),
        ("mine.py:5:", "Mine.strat is called by nothing; is it meant to be start?"),
    ),
    "arguments": (
        GOOD_RULE.replace("state, x", "x"),
        ("mine.py:5:", "Mine.update must take (self, arrays, state, x, d, lr), got (self, arr"),
    ),
    "arguments of another": (
        rule("arrays['W'].pulse(x, d, lr)", above="    def start(self):\n        return {}\n"),
        ("mine.py:5:", "Mine.start must take (self, arrays), got (self)"),
    ),
    "name": (rule("arrays['W'].pulse(x, d, lrr)"), ("mine.py:6: NameError: name 'lrr' is not defined",)),
    "no such array": (rule("arrays['A'].pulse(x, d, lr)"), ("mine.py:6: KeyError: 'A'",)),
    "shape": (rule("arrays['W'].pulse(d, x, lr)"), ("mine.py:6: ", "AnalogMatrix.pulse")),
    "NaN": (
        rule(
            "state['t'].fill_(float('nan'))",
            above="    def start(self, arrays):\n        return {'t': torch.zeros(1, 12, 10)}\n"
            "    def stored(self, arrays, state):\n        return state['t']\n",
        ),
        ("mine.py:9:", "leaves weights that are not finite"),
    ),
    "sign": (rule("arrays['W'].pulse(x, -d, lr)"), ("mine.py:5:", "moves the weights of ideal devices up the gradient", "correlation")),
    "sign of a sum": (
        rule(
            "state['h'] -= x.transpose(1, 2) @ d * lr",
            "n = torch.trunc(state['h'] / 0.01)",
            "state['h'] -= n * 0.01",
            "arrays['W'].pulse_rows(n.int())",
            above="    def start(self, arrays):\n        return {'h': torch.zeros(arrays['W'].shape)}\n",
        ),
        ("mine.py:7:", "up the gradient"),
    ),
    "torch's generator": (rule("arrays['W'].pulse(x * (torch.rand(x.shape) < 0.5), d, lr)"), ("mine.py:5:", "random numbers from outside")),
    "numpy's generator": (
        rule("arrays['W'].pulse(x * float(np.random.rand()), d, lr)", head="import numpy as np\n"),
        ("mine.py:6:", "random numbers from outside; take those of aimco.learning.uniform"),
    ),
    "state": (
        rule("arrays['W'].pulse(x, d, lr)", above="    def start(self, arrays):\n        return {'t': 0}\n"),
        ("mine.py:5:", "Mine.start must return tensors by name, got int for 't'"),
    ),
    "coefficients": (
        rule("arrays['W'].pulse(x, d, lr)", above="    def coefficients(self):\n        return {'C': 1.0}\n"),
        ("mine.py:5:", "Mine.coefficients must name arrays that Mine.arrays asks for, W, got 'C'"),
    ),
    "renamed": (
        rule("arrays['W'].pulse(x, d, lr)", above="    def shares(self):\n        return {'W': 1.0}\n"),
        ("mine.py:4: Mine.shares is now called coefficients; rename it",),
    ),
    "product": (
        rule("arrays['W'].pulse(x, d, lr)", above="    def mvm(self, arrays, state, x):\n        return x\n"),
        ("mine.py:5:", "Mine.mvm must return a tensor (1, 10, 10), got (1, 10, 12)"),
    ),
    "check": (
        rule("arrays['W'].pulse(x, d, lr)", above="    def check(self, design):\n        design.devise\n"),
        ("mine.py:6: AttributeError: ", "devise"),
    ),
    "a field": ("from aimco.learning import Rule\nclass Mine(Rule):\n    every = 3\n", ("mine.py:2: PydanticUserError: ",)),
}


@pytest.mark.parametrize("fault", RULES)
def test_a_wrong_rule_is_one_sentence_with_file_and_line(tmp_path, fault):
    text, words = RULES[fault]
    (tmp_path / "mine.py").write_text(text)
    assert_refused(lambda: design_of(tmp_path / "mine.py"), *words)


GOOD_NOISE = """import torch
from aimco.device.noises import NoiseSource, member_column
class Mine(NoiseSource):
    amplitude: float = 0.1
    def start(self, draws, devices):
        return {"phase": draws.uniform("phase", 0, (devices,))}
    def advance(self, tensors, seconds, draws, number):
        tensors["phase"].add_(seconds * 50.0).remainder_(1.0)
    def relative(self, tensors, ratio):
        return member_column(self.amplitude) * torch.sin(2 * torch.pi * tensors["phase"]).float()
"""
ADVANCE = 'tensors["phase"].add_(seconds * 50.0).remainder_(1.0)'
NOISES = {
    "no method": ("    def advance", "    def step", ("mine.py:3:", "has no method advance(self, tensors, seconds, draws, number)")),
    "misspelt": ("def relative", "def relativ", ("mine.py:9:", "Mine.relativ is called by nothing", "meant to be relative?")),
    "misspelt option": ("def start", "def starts", ("mine.py:5:", "Mine.starts is called by nothing", "meant to be start?")),
    "arguments": ("draws, number)", "draws)", ("mine.py:7:", "must take (self, tensors, seconds, draws, number)")),
    "an error": ("seconds * 50.0", "second * 50.0", ("mine.py:8: NameError: name 'second'",)),
    "NaN": ("return member_column", "return float('nan') * member_column", ("mine.py:9:", "not finite at ratio = 0;")),
    "NaN at 0 S": (".float()", ".float() / ratio", ("mine.py:9:", "not finite at ratio = 0;")),
    "no tensors": ('return {"phase": draws', "return [draws", ("mine.py:", "SyntaxError")),
    "a number": ("(devices,))}", '(devices,)), "n": 3}', ("mine.py:5:", "must return tensors by name, got int for 'n'")),
    "a scalar tensor": (
        "(devices,))}",
        '(devices,)), "n": torch.zeros(3)}',
        ("mine.py:5:", "first axis is the 1 members, got (3,) for 'n'"),
    ),
    "another shape": (
        ".float()",
        ".float().sum(1, keepdim=True)",
        ("mine.py:9:", "must return a tensor (E, devices), (1, 64) here, got (1, 1)"),
    ),
    "torch's generator": (
        ADVANCE,
        'tensors["phase"].copy_(torch.rand(64))',
        ("mine.py:7:", "run again with the same seed", "from outside"),
    ),
    "another state at first": (
        'draws.uniform("phase", 0, (devices,))',
        "torch.rand(len(draws.seeds), devices)",
        ("mine.py:5:", "same seed"),
    ),
    "without time": (ADVANCE, 'tensors["phase"].add_(0.3)', ("mine.py:7:", "changes conductances when no time passes")),
    "a read that changes": ("return member", 'tensors["phase"] += 1; return member', ("mine.py:9:", "changes the state")),
    "other tensors": (ADVANCE, 'tensors["more"] = seconds', ("mine.py:7:", "must keep the names", "'more'")),
    "numbers side by side": (
        "member_column(self.amplitude)",
        "self.amplitude",
        ("mine.py:10: TypeError", "in an ensemble", "member_column"),
    ),
    "members mixed": (ADVANCE, 'tensors["phase"].add_(tensors["phase"].mean() * seconds)', ("mine.py:7:", "other noise for a member")),
}


@pytest.mark.parametrize("fault", NOISES)
def test_wrong_noise_is_one_sentence_with_file_and_line(tmp_path, fault):
    old, new, words = NOISES[fault]
    assert GOOD_NOISE.count(old) == 1
    (tmp_path / "mine.py").write_text(GOOD_NOISE.replace(old, new))
    assert_refused(lambda: ai.Device.named("ideal").replace("noise", [{"kind": f"{tmp_path / 'mine.py'}:Mine"}]), *words)


def test_right_noise_passes_and_leaves_the_global_generators_alone(tmp_path):
    (tmp_path / "mine.py").write_text(GOOD_NOISE)
    torch.manual_seed(0)
    wanted = torch.rand(3)
    torch.manual_seed(0)
    assert ai.Device.named("ideal").replace("noise", [{"kind": f"{tmp_path / 'mine.py'}:Mine"}]).noise
    assert torch.equal(torch.rand(3), wanted)


def test_right_ones_pass_and_cost_little(tmp_path):
    """A rule's trial takes less than 0.3 s once compiled code is loaded, and is not run again for another number."""
    (tmp_path / "mine.py").write_text(GOOD_RULE)
    (tmp_path / "device.py").write_text(GOOD_STEP)
    device_of(tmp_path / "device.py", spread={"g_max": 0.3, "width": 0.1})
    design_of(tmp_path / "mine.py")
    (tmp_path / "mine.py").write_text(GOOD_RULE + "# changed\n")
    started = time.process_time()
    spec = design_of(tmp_path / "mine.py")
    first = time.process_time() - started
    assert first < 0.3
    started = time.process_time()
    spec.replace("rule.lr", 0.03)
    assert time.process_time() - started < first / 2


def test_a_rule_is_not_refused_by_chance_or_for_standing_still(tmp_path):
    """Moves without any relation to the gradient, of 20 seeds; a rule that waits for 5000 samples passes with a note in the result."""
    (tmp_path / "chance.py").write_text(
        rule(
            "arrays['W'].pulse_rows((2 * (uniform(arrays['W'], 'a', self.seed, x.shape[2:] + d.shape[2:]) > 0.5) - 1).int())",
            above="    seed: int = 0\n",
        )
    )
    for seed in range(20):
        design_of(tmp_path / "chance.py", seed=seed)
    (tmp_path / "slow.py").write_text(
        rule(
            "state['n'] += x.shape[1]",
            "if state['n'] > 5000: arrays['W'].pulse(x, d, lr)",
            above="    def start(self, arrays):\n        return {'n': torch.zeros((), dtype=torch.int64)}\n",
        )
    )
    spec = design_of(tmp_path / "slow.py")
    assert rule_trial.rule_notes(spec.rule, spec.device, spec.cell) == [rule_trial.STILL]
    assert rule_trial.STILL in ai.evaluate(spec.replace("training.epochs", 1), limit=20).notes
    spec = design("sgd")
    assert rule_trial.rule_notes(spec.rule, spec.device, spec.cell) == []


def test_a_response_that_turns_round_near_a_bound_passes_with_a_note(tmp_path):
    (tmp_path / "mine.py").write_text(step("return p.step_up * (0.8 - g) if up else -p.step_down"))
    device = device_of(tmp_path / "mine.py")
    assert device.notes() == ["an up pulse lowers the conductance at 10% of the states, by the response Mine"]


@pytest.mark.parametrize("name", DEVICES)
def test_every_device_and_family_passes_the_trial(name):
    assert response_notes(DEVICES[name]) == []


@pytest.mark.parametrize("kind", [kind for kind in LAYER_RULES if kind != "digital"])
def test_every_rule_passes_the_trial_as_a_users_own(tmp_path, kind):
    """A copy of its file under another name, and its changes are those of descent, by more than 5 sigma."""
    file = tmp_path / f"{kind.replace('-', '_')}_copy.py"
    shutil.copy(inspect.getsourcefile(Rule.of_kind(kind)), file)
    given = design(kind)
    name = type(given.rule).__name__
    spec = ai.Design.of(given.as_dict() | {"rule": {"kind": f"{file}:{name}"}})
    assert spec.rule.kind == f"{file}:{name}"
    assert rule_trial.rule_notes(spec.rule, spec.device, spec.cell) == []
    assert rule_trial.try_rule(given.rule, given.device, given.cell).sigmas > 5


@pytest.mark.parametrize("kind", [kind for kind in Response.kinds()])
def test_every_family_passes_the_trial_as_a_users_own(tmp_path, kind):
    file = tmp_path / f"{kind.replace('-', '_')}_copy.py"
    family = Response.of_kind(kind)
    shutil.copy(inspect.getsourcefile(family), file)
    device = device_of(file, response={"kind": f"{file}:{family.__name__}", **SIZES}, spread={"step": 0.3, "g_max": 0.3, "g_min": 0.3})
    assert user_code.is_own(type(device.response))
    assert issubclass(type(device.response), Response)


def test_random_numbers_of_a_rule_are_those_of_their_seed_alone():
    """The same in an ensemble and alone, others for another seed, array, name or step; uniform and normal in mean and variance."""
    spec = design()

    def array(*seeds: int, name: str = "W") -> ai.AnalogMatrix:
        return ai.AnalogMatrix(ai.ArraySpec.of(spec), 3, 4, seeds=seeds, names=("layer", name))

    solo, both = learning.uniform(array(2), "a", 5, (3, 4)), learning.uniform(array(1, 2), "a", 5, (3, 4))
    assert solo.shape == (1, 3, 4)
    assert torch.equal(solo[0], both[1])
    others = [both[0], learning.uniform(array(2, name="A"), "a", 5, (3, 4))[0]]
    others += [learning.uniform(array(2), *of, (3, 4))[0] for of in (("b", 5), ("a", 6))]
    assert not any(torch.equal(solo[0], other) for other in others)
    for draw in (learning.uniform, learning.normal):
        assert all(torch.equal(draw(array(2), "a", n, (3, 4)), draw(array(2), "a", 5, (3, 4))) for n in (torch.tensor(5), np.int64(5)))
        assert_refused(lambda draw=draw: draw(array(2), "a", -1, (3, 4)), f"{draw.__name__}: step must be in 0..")
    many = learning.uniform(array(0), "a", 0, (100, 100)).double()
    assert many.mean().item() == pytest.approx(0.5, abs=4 * 12**-0.5 / 100)
    assert many.var().item() == pytest.approx(1 / 12, rel=0.05)
    bell = learning.normal(array(0), "a", 0, (100, 100)).double()
    assert (bell.mean().item(), bell.std().item()) == pytest.approx((0, 1), abs=0.04)


def test_a_trial_leaves_the_global_generators_alone(tmp_path):
    (tmp_path / "mine.py").write_text(RULES["torch's generator"][0])
    torch.manual_seed(0)
    np.random.seed(0)
    wanted = torch.rand(3), np.random.rand(3)
    torch.manual_seed(0)
    np.random.seed(0)
    with pytest.raises(ai.InputError):
        design_of(tmp_path / "mine.py")
    assert torch.equal(torch.rand(3), wanted[0])
    assert (np.random.rand(3) == wanted[1]).all()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A design, a device and their files in a folder that is not the current one."""
    place = tmp_path / "mine"
    (place / "parts").mkdir(parents=True)
    (place / "rule.py").write_text(GOOD_RULE)
    (place / "parts" / "cosine.py").write_text(GOOD_STEP)
    sheet = "g_min = 0.0\ng_max = 2.0\nresponse = {kind = 'cosine.py:Mine', step_up = 0.01, step_down = 0.01}\n"
    (place / "parts" / "device.toml").write_text(sheet)
    parts = "device = 'parts/device.toml'\nrule = {kind = 'rule.py:Mine'}\nnetwork = {hidden = [4]}\ntraining = {epochs = 1}\n"
    (place / "design.toml").write_text(parts)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return place


def test_paths_count_from_the_toml_that_names_them(folder):
    spec = ai.Design.load(folder / "design.toml")
    assert spec.rule.kind == f"{folder}/rule.py:Mine"
    assert spec.device.response.kind == f"{folder}/parts/cosine.py:Mine"
    assert spec.replace("rule.lr", 0.2).rule.kind == spec.rule.kind
    shutil.move(folder / "rule.py", "rule.py")
    assert_refused(lambda: ai.Design.load(folder / "design.toml"), "rule kind rule.py: there is no such file", f"that names them, {folder}")
    assert spec.replace("rule.kind", "rule.py:Mine").rule.kind == f"{Path.cwd()}/rule.py:Mine"


def test_a_technology_counts_from_the_toml_that_names_it_and_travels(folder, tmp_path):
    shutil.copy(Path(ai.cost.__file__).parent / "technology" / "rpu-2016.toml", folder / "mine.toml")
    (folder / "design.toml").write_text("device = 'ideal'\ntechnology = 'mine.toml'\n")
    spec = ai.Design.load(folder / "design.toml")
    assert spec.technology == str(folder / "mine.toml")
    spec.save(tmp_path / "saved" / "design.toml")
    shutil.rmtree(folder)
    again = ai.Design.load(tmp_path / "saved" / "design.toml")
    assert again.technology == str(tmp_path / "saved" / "mine.toml")
    assert again.hash() == spec.hash()


def test_a_saved_design_carries_its_files(folder, tmp_path):
    spec = ai.Design.load(folder / "design.toml")
    spec.save(tmp_path / "saved" / "design.toml")
    assert (tmp_path / "saved" / "rule.py").read_text() == GOOD_RULE
    assert (tmp_path / "saved" / "cosine.py").read_text() == GOOD_STEP
    shutil.rmtree(folder)
    shutil.move(tmp_path / "saved", tmp_path / "moved")
    again = ai.Design.load(tmp_path / "moved" / "design.toml")
    assert again.hash() == spec.hash()
    assert again.rule.kind == f"{tmp_path}/moved/rule.py:Mine"


def test_a_copy_that_was_changed_is_one_sentence(folder, tmp_path):
    ai.Design.load(folder / "design.toml").save(tmp_path / "saved" / "design.toml")
    copy = tmp_path / "saved" / "rule.py"
    copy.write_text(GOOD_RULE.replace("pulse(x, d, lr)", "pulse(x, d, lr) or 1 / 0"))
    load = lambda: ai.Design.load(tmp_path / "saved" / "design.toml")  # noqa: E731
    assert_refused(load, "rule kind rule.py: the file was changed after it was saved", "restore it, or remove kind_sha256")
    text = (tmp_path / "saved" / "design.toml").read_text()
    (tmp_path / "saved" / "design.toml").write_text(re.sub(r'kind_sha256 = "\w+"\n', "", text))
    assert_refused(load, "rule.py:6: ZeroDivisionError: division by zero")


def test_saving_overwrites_no_file_of_other_content(folder, tmp_path):
    """The copy then has another name; the design is the same by its hash. Saved beside its own file, nothing is copied."""
    spec = ai.Design.load(folder / "design.toml")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "rule.py").write_text("# something else\n")
    spec.save(tmp_path / "saved" / "design.toml")
    assert (tmp_path / "saved" / "rule.py").read_text() == "# something else\n"
    again = ai.Design.load(tmp_path / "saved" / "design.toml")
    assert re.fullmatch(r"rule-[0-9a-f]{8}\.py:Mine", Path(again.rule.kind).name)
    assert again.hash() == spec.hash()
    spec.save(folder / "again.toml")
    assert sorted(p.name for p in folder.iterdir()) == ["again.toml", "cosine.py", "design.toml", "parts", "rule.py"]


def test_what_a_technology_file_holds_is_part_of_the_hash(folder):
    """And its folder is not: two files of one name are one technology only where their content is the same."""
    text = (Path(ai.cost.__file__).parent / "technology" / "rpu-2016.toml").read_text()
    for name, content in {"a": text, "b": text, "c": text.replace("clock_Hz = 1", "clock_Hz = 2", 1)}.items():
        (folder / name).mkdir()
        (folder / name / "mine.toml").write_text(content)
    a, b, c = (ai.Design.of({"device": "ideal", "technology": str(folder / name / "mine.toml")}).hash() for name in "abc")
    assert a == b != c


def test_a_design_is_not_written_over_the_technology_that_it_names(folder, tmp_path):
    """Saved under the name of its technology file, the copy of which then has another."""
    shutil.copy(Path(ai.cost.__file__).parent / "technology" / "rpu-2016.toml", folder / "mine.toml")
    spec = ai.Design.of({"device": "ideal", "technology": str(folder / "mine.toml")})
    for path in (tmp_path / "saved" / "mine.toml", folder / "mine.toml"):
        spec.save(path)
        named = Path(ai.Design.load(path).technology)
        assert named.parent == path.parent
        assert re.fullmatch(r"mine-[0-9a-f]{8}\.toml", named.name)
        assert "clock_Hz" in named.read_text()


def test_what_is_beside_a_class_is_part_of_the_hash(folder):
    before = ai.Design.load(folder / "design.toml").hash()
    (folder / "rule.py").write_text("SCALE = 1\n" + GOOD_RULE)
    assert ai.Design.load(folder / "design.toml").hash() != before


def test_runs_and_studies_carry_the_files(folder, tmp_path, capsys):
    """From the command line, each into a folder that is then moved, with the original gone."""
    assert main(["run", str(folder / "design.toml"), "--limit", "50", "--out", "run"]) == 0
    space = "space = {'rule.kind' = {choices = ['rule.py:Mine', 'sgd']}}\n"
    lines = f"name = 's'\nbase = 'design.toml'\nsampler = 'grid'\nlimit = 50\n{space}"
    (folder / "study.toml").write_text(lines)
    assert main(["study", str(folder / "study.toml"), "--out", "study"]) == 0
    shutil.rmtree(folder)
    shutil.move(tmp_path / "elsewhere", tmp_path / "moved")
    saved = json.loads((tmp_path / "moved" / "run" / "result.json").read_text())
    assert re.fullmatch(r"sha256 [0-9a-f]{64}", saved["versions"]["rule.py"])
    assert ai.Design.load(tmp_path / "moved" / "run" / "design.toml").hash() == saved["design_hash"]
    designs = tmp_path / "moved" / "study" / "designs"
    assert sorted(p.name for p in designs.iterdir()) == ["cosine.py", "rule.py", *(f"trial-{k}.toml" for k in range(2))]
    kinds = {ai.Design.load(file).rule.kind for file in designs.glob("*.toml")}
    assert kinds == {f"{designs}/rule.py:Mine", "sgd"}
    capsys.readouterr()


def test_an_error_during_a_run_keeps_its_message_and_names_the_line(tmp_path, capsys):
    """After the samples of the trial, so that only the run meets it; in a study it is the reason of the trial."""
    (tmp_path / "mine.py").write_text(
        rule(
            "state['n'] += x.shape[1]",
            "if state['n'] > 900: raise ValueError('too far')",
            "arrays['W'].pulse(x, d, lr)",
            above="    def start(self, arrays):\n        return {'n': torch.zeros((), dtype=torch.int64)}\n",
        )
    )
    design_of(tmp_path / "mine.py").save(tmp_path / "design.toml")
    assert main(["run", str(tmp_path / "design.toml")]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"{tmp_path}/mine.py:9: ValueError: too far"
    lines = "name = 's'\nbase = 'design.toml'\nsampler = 'grid'\nspace = {'rule.lr' = {choices = [0.1]}}\n"
    (tmp_path / "study.toml").write_text(lines)
    main(["study", str(tmp_path / "study.toml"), "--out", str(tmp_path / "out")])
    assert "mine.py:9: ValueError: too far" in capsys.readouterr().out


@pytest.mark.parametrize(
    "choices", ["rule = {choices = [{kind = 'rule.py:Mine'}, {kind = 'sgd'}]}", "device = {choices = ['mine.toml', 'rpu']}"]
)
def test_a_study_is_not_gone_on_with_after_a_file_in_its_space_changed(folder, choices):
    (folder / "mine.toml").write_text(ai.Device.named("ideal").dumps())
    (folder / "study.toml").write_text(f"name = 's'\nbase = 'design.toml'\nsampler = 'grid'\nspace = {{{choices}}}\n")
    before = [Study.load(folder / "study.toml").identity() for _ in range(2)]
    assert before[0] == before[1]
    changed = folder / ("rule.py" if "rule.py" in choices else "mine.toml")
    changed.write_text(changed.read_text() + "\n# changed\n")
    assert Study.load(folder / "study.toml").identity() != before[0]


def test_a_fitted_device_carries_its_family(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(step("return p.step_up * (1 - p.width * g) if up else -p.step_down * (1 + p.width * g)"))
    pulses = Path(__file__).parent.parent / "examples" / "bring-your-device" / "pulses.csv"
    out = tmp_path / "out" / "device.toml"
    assert main(["fit", str(pulses), "--family", f"{tmp_path}/mine.py:Mine", "-o", str(out)]) == 0
    assert ai.Device.load(out).response.kind == f"{tmp_path}/out/mine.py:Mine"
    (tmp_path / "mine.py").write_text(RESPONSES["numpy"][0])
    assert main(["fit", str(pulses), "--family", f"{tmp_path}/mine.py:Mine", "-o", str(out)]) == 2
    assert "reads np of numpy" in capsys.readouterr().err


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The files of the page, in the current folder."""
    blocks = re.findall(r"```(?:python|toml)\n(# (\S+)\n.*?)```", PAGE.read_text(), re.DOTALL)
    assert [name for _, name in blocks] == ["design.toml", "cosine.py", "cosine.toml", "wander.py", "rounding.py"]
    for text, name in blocks:
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_runs_as_it_stands(page, capsys):
    """Its rule on its device learns the digits, and its example of a rule is short."""
    assert main(["run", "design.toml", "--out", "run"]) == 0
    capsys.readouterr()
    assert main(["run", "run/design.toml", "--set", "training.epochs=10", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["accuracy"] > 0.8
    lines = (page / "rounding.py").read_text().partition("class Rounding")[2].splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 20


FAULTS_OF_THE_PAGE = {
    "has no method": ("rounding.py", "def update", "def updat"),
    "must take": ("cosine.py", "    @staticmethod\n    def step(", "    def step(self, "),
    "NameError": ("rounding.py", "(d * lr)", "(d * lrr)"),
    "gives nan": ("cosine.py", "cos(p.width * g) if up", "float('nan') if up and g > 0.89"),
    "must not lower": ("cosine.py", "return p.step_up", "return -p.step_up"),
    "up the gradient": ("rounding.py", "total +=", "total -="),
    "reads np": ("cosine.py", "* cos(p.width * g) if up", "* np.cos(p.width * g) if up"),
    "from outside": ("rounding.py", 'uniform(w, "rounding", int(state["batches"]), w.shape[1:])', "torch.rand(w.shape)"),
    "Wander.advance leaves": ("wander.py", 'draws.normal("step", number, x.shape[1:])', "torch.randn(x.shape)"),
    "not finite at ratio": ("wander.py", '* tensors["x"]', '* tensors["x"] / ratio'),
    "when no time passes": ("wander.py", "torch.sqrt(1 - keep**2)", "1.0"),
    "in an ensemble": ("wander.py", "member_column(self.amplitude)", "self.amplitude"),
}


@pytest.mark.parametrize("fault", FAULTS_OF_THE_PAGE)
def test_the_page_says_what_is_said(page, fault):
    """Each sentence of its table, for the fault made in the files of the page; numbers of a trial may differ in the dots."""
    file, old, new = FAULTS_OF_THE_PAGE[fault]
    sentence = next(line for line in PAGE.read_text().splitlines() if line.startswith("|") and fault in line).split("`")[1]
    text = (page / file).read_text()
    assert old in text
    head = "import numpy as np\n" if "np." in new else ""
    (page / file).write_text(text.replace("from math", f"{head}from math", 1).replace(old, new, 1))
    assert_refused(lambda: ai.Design.load(page / "design.toml"), *sentence.split("..."))


TWINS = (Path(__file__).parent / "toys" / "my_cell.py").read_text()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "    @property\n    def leads",
            "    def leads",
            r"my_cell.py:\d+: Twins.leads is a value, not a method; write @property above it",
        ),
        (
            "    def write(self, tile",
            "    @property\n    def write(self, tile",
            "Twins.write is a method, not a value; remove @property above it",
        ),
        ("return (0, 1)", "return iter([0, 1])", r"Twins.leads must be a tuple of places of devices, 0..1, got <"),
        ("return (0, 1)", "return (0, 2)", r"Twins.leads must be a tuple of places of devices, 0..1, got \(0, 2\)"),
        ("return (1, 1)", "return (1, 0)", "Twins.signs must be a tuple of numbers other than 0"),
        ("return (1, 1)", "return 1 / 0", r"my_cell.py:\d+: ZeroDivisionError"),
        ("super().weight / 2", "-super().weight", "Twins.weight must be a number above 0"),
        ("yield k, k + 1", "yield k, k + 2", r"Twins.route must yield \(first, last, taking\) from update to update, 2 next, got"),
        ("(before + k) % 2, 0", "(before + k) % 3, 0", "Twins.route must give each update to places 0..1"),
        ("range(count)", "range(count - 1)", "Twins.route must give devices to all of 5 updates, got 4"),
    ],
)
def test_a_cell_that_makes_no_weight_is_refused_when_it_is_read(tmp_path, old, new, words):
    assert old in TWINS
    (tmp_path / "my_cell.py").write_text(TWINS.replace(old, new))
    with pytest.raises(ai.InputError, match=words):
        ai.Design.of({"device": "ideal", "cell": {"kind": str(tmp_path / "my_cell.py:Twins")}})
