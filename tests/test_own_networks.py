"""Networks and data of the user's own go where ours go: runs, studies, requirements, prices, checkpoints."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import aimco as ai
from aimco.cli import main
from aimco.cost import inference, of_design
from aimco.data.own import checked, data_of
from aimco.nn.convert import convert, shapes_of
from aimco.nn.layers import analog_layers
from aimco.record import InputError
from aimco.tasks import Classification, Regression, Sample, load, task_of

PAGE = Path(__file__).parent.parent / "docs" / "own-networks-and-data.md"
FAST = {"training": {"epochs": 1, "batch": 10}}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The files of the page and 120 small images, in the current folder."""
    blocks = re.findall(r"```(?:python|toml)\n(# (\S+)\n.*?)```", PAGE.read_text(), re.DOTALL)
    assert [name for _, name in blocks] == ["my_net.py", "study.toml", "design.toml", "my_device.toml", "my_device.py", "my_task.py"]
    for text, name in blocks:
        (tmp_path / name).write_text(text)
    data = load("digits", limit=90)
    x, y = torch.cat((data.train_x, data.test_x[:30])), torch.cat((data.train_y, data.test_y[:30]))
    np.savez(tmp_path / "my_data.npz", x=(255 * x.reshape(-1, 1, 8, 8)).byte().numpy(), y=y.numpy())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_network_of_the_page_is_short(folder):
    lines = (folder / "my_net.py").read_text().splitlines()
    assert len(lines) <= 30


def test_runs_prices_studies_and_requirements_take_own_files(folder, capsys):
    """Each command of the page, on nothing but the user's files."""
    assert main(["run", "design.toml", "--task", "my_data.npz", "--checkpoint", "state.pt", "--out", "run", "--json"]) == 0
    run = json.loads(capsys.readouterr().out)
    assert run["task"] == "my_data.npz" and 0 <= run["metrics"]["accuracy"] <= 1 and run["energy_J"]["train"] > 0
    assert list(run["activity"]) == ["1.0", "1.2.first", "1.2.second", "1.5"]
    assert "bytes and were divided by 255" in " ".join(run["notes"])
    assert {"my_net.py", "my_device.py", "report.html", "learning-curve.png"} <= {p.name for p in Path("run").iterdir()}
    assert main(["run", "run/design.toml", "--task", "my_data.npz", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["curves"] == run["curves"]

    assert main(["cost", "design.toml", "--task", "my_data.npz", "--json"]) == 0
    cost = json.loads(capsys.readouterr().out)
    assert list(cost["activity"]) == ["0", "2.first", "2.second", "5"]
    assert cost["training_sample"]["area_m2"] == pytest.approx(run["area_m2"])

    assert main(["study", "study.toml", "--workers", "2", "--json"]) == 0
    study = json.loads(capsys.readouterr().out)
    assert study["trials"] == {"complete": 2}
    assert "--task my_data.npz" in study["front"][0]["run"][0] or "my_data.npz" in study["front"][0]["run"][0]

    asked = [
        "--task",
        "my_data.npz",
        "--network",
        "my_net.py:net",
        "--epochs",
        "1",
        "--seeds",
        "1",
        "--parameter",
        "step",
        "--out",
        "asked",
    ]
    assert main(["requirements", "--rule", "sgd", *asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rules"][0]["lines"][0]["key"] == "step"
    assert Path("asked/requirements-my_data.json").exists()


def test_a_stopped_run_of_own_files_resumes_bit_for_bit(folder):
    design, whole = ai.Design.load("design.toml"), []
    straight = ai.evaluate(design, "my_data.npz", seed=3, on_trained=whole.append)

    class Stop(Exception):
        pass

    def stop(epoch: int, epochs: int, value: float) -> None:
        raise Stop

    with pytest.raises(Stop):
        ai.evaluate(design, "my_data.npz", seed=3, checkpoint="state.pt", on_epoch=stop)
    resumed = ai.evaluate(design, "my_data.npz", seed=3, checkpoint="state.pt")
    assert resumed.curves == straight.curves and resumed.counts == straight.counts


def test_a_checkpoint_of_other_data_is_refused(folder):
    design = ai.Design.load("design.toml").replace("training.epochs", 1)
    x, y = torch.rand(40, 1, 8, 8), torch.arange(40) % 10
    ai.evaluate(design, data_of((x, y)), checkpoint="state.pt")
    with pytest.raises(InputError, match="must be of the same data"):
        ai.evaluate(design, data_of((1 - x, y)), checkpoint="state.pt")


def test_the_task_of_the_page_is_learned_by_its_own_loss(folder, capsys):
    toml = "network = { hidden = [], bias = 'array' }\ndevice = 'ideal'\nrule = { kind = 'sgd', lr = 0.05 }\ntraining = { epochs = 8 }\n"
    Path("sines.toml").write_text(toml)
    assert main(["run", "sines.toml", "--task", "my_task.py:Sines", "--out", "sines", "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert list(output["metrics"]) == ["error"] and output["metrics"]["error"] < 0.2
    assert "test error (V)" not in capsys.readouterr().err
    page = Path("sines/report.html").read_text()
    assert f"{output['metrics']['error']:.4g} V" in page


# shapes


class Attends(nn.Module):
    """One attention layer over 5 steps of 8 numbers."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.out = nn.Linear(8, 3)

    def forward(self, x):
        return self.out(self.attention(x, x, x, need_weights=False)[0].mean(1))


class Recurs(nn.Module):
    """A recurrent layer over 5 steps of 8 numbers."""

    def __init__(self, kind):
        super().__init__()
        self.layer = kind(8, 6, num_layers=2, bidirectional=True, batch_first=True)
        self.out = nn.Linear(12, 3, bias=False)

    def forward(self, x):
        return self.out(self.layer(x)[0].mean(1))


def grouped() -> nn.Module:
    first = nn.Conv2d(4, 8, 3, stride=2, padding=1, dilation=1, groups=2, bias=False)
    return nn.Sequential(first, nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.Flatten(), nn.Linear(8, 3))


NETS = {
    "grouped": (grouped, (4, 6, 6)),
    "attention": (Attends, (5, 8)),
    "lstm": (lambda: Recurs(nn.LSTM), (5, 8)),
    "gru": (lambda: Recurs(nn.GRU), (5, 8)),
    "rnn": (lambda: Recurs(nn.RNN), (5, 8)),
}


@pytest.mark.parametrize("name", NETS)
def test_a_price_from_shapes_is_that_of_a_run(name):
    """Inference and its area to rounding; of training the conversions of all reads, which no pulses change."""
    make, shape = NETS[name]
    design = ai.Design(device="ideal", network=make, periphery={"bound_management": "none"}, **FAST)
    x, y = torch.rand(26, *shape), torch.arange(26) % 3
    result = ai.evaluate(design, data_of((x, y), test_fraction=0.23))
    sample = Sample(shape, 3)
    known = inference(design, of_design(design, sample), both_sides=True)
    assert known.energy_J["total"] == pytest.approx(result.energy_J["inference_sample"], rel=1e-9)
    assert known.latency_s == pytest.approx(result.latency_s["inference_sample"], rel=1e-9)
    assert known.area_m2 == pytest.approx(result.area_m2, rel=1e-12)
    trained = ai.cost.training(design, of_design(design, sample))
    for part in ("adc", "dac"):
        assert trained.energy_J[part] * 20 == pytest.approx(_train_energy(result, part), rel=1e-9)


def _train_energy(result: ai.Result, part: str) -> float:
    counts = result.counts_by_phase["train"]
    prices = ai.price(result.design, {"all": {"W": counts}})
    return prices.energy_J[part]


@pytest.mark.parametrize("name", NETS)
def test_a_converted_model_computes_what_it_did(name):
    make, shape = NETS[name]
    torch.manual_seed(0)
    model = make()
    x = torch.rand(4, *shape)
    device = {"name": "fine", "g_min": 0.0, "g_max": 1.0, "response": {"kind": "constant-step", "step_up": 1e-4, "step_down": 1e-4}}
    free = {"dac": {"bits": float("inf")}, "adc": {"bits": float("inf")}, "output_noise": 0.0, "bound_management": "none"}
    design = ai.Design.of({"device": device, "cell": {"kind": "reference", "weight_max": 2.0}, "periphery": free})
    on_arrays = convert(model, design)
    torch.testing.assert_close(on_arrays(x), model(x), atol=0.02, rtol=0.02)


def test_patterns_choose_layers_and_their_parts():
    def net(shape, outputs):
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, outputs))

    network = {"kind": "x", "analog": ["3"], "parts": {"3": {"cell.weight_max": 2.5}}}
    from aimco.networks import network_of

    record = network_of(net)(**{k: v for k, v in network.items() if k != "kind"})
    design = ai.Design(device="ideal", network=record)
    data = data_of((torch.rand(20, 4, 4), torch.arange(20) % 2))
    model = design.network.build(data, design, (0,))
    held = dict(ai.nn.layers.analog_layers(model))
    assert list(held) == ["1.3"]
    assert held["1.3"].matrices["W"].cell.weight_max == 2.5
    assert [s.name for s in design.network.shapes(Sample((4, 4), 2))] == ["3"]


def test_a_layer_that_is_used_twice_is_priced_twice():
    shared = nn.Linear(6, 6)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    assert [(s.name, s.vectors) for s in shapes_of(model, (6,))] == [("0", 2)]


# faults


FAULTS = {
    "no analog part": (
        "def net(outputs):\n    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LayerNorm(64))",
        "has no layer that can be",
    ),
    "another output": (
        "def net():\n    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 7))",
        "must give outputs of shape (batch, 10)",
    ),
    "no module": ("def net():\n    return 3", "must return a torch.nn.Module, got int"),
    "import error": ("import nothing_of_this_name\n\ndef net():\n    pass", "No module named 'nothing_of_this_name'"),
    "exit": ("raise SystemExit('no')\n\ndef net():\n    pass", "SystemExit"),
    "syntax": ("def net(:\n    pass", "SyntaxError"),
    "forward": ("def net():\n    return torch.nn.Linear(63, 10)", "RuntimeError"),
    "no default": ("def net(width):\n    return torch.nn.Linear(64, 10)", "must have a default for 'width'"),
    "own field": ("def net(bias=3):\n    return torch.nn.Linear(64, 10)", "must not have an argument 'bias'"),
    "no such name": ("def nett():\n    pass", "there is no class net"),
    "tuple": (
        "class net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.a = torch.nn.Linear(64, 10)\n"
        "    def forward(self, x):\n        return self.a(x.flatten(1)), 1",
        "must give one tensor of outputs, got tuple",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_network_is_told_in_one_sentence(fault, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text, message = FAULTS[fault]
    Path("net.py").write_text(f"import torch\n{text}\n")
    Path("design.toml").write_text('device = "ideal"\nnetwork = { kind = "net.py:net" }\n')
    assert main(["run", "design.toml", "--limit", "50"]) == 2
    err = capsys.readouterr().err.strip()
    assert message in err.splitlines()[-1]
    assert "Traceback" not in err


BAD_TASKS = {
    "float labels": ("Data('t', Classification(2), x, torch.zeros(20), x, torch.zeros(20), (4,))", "must be labels, int64, got float32"),
    "label out of range": ("Data('t', Classification(2), x, y + 1, x, y, (4,))", "must be labels in 0..1, got 2"),
    "fewer labels": ("Data('t', Classification(2), x, y[:19], x, y, (4,))", "must be as many as there are samples, 20, got 19"),
    "nan": ("Data('t', Classification(2), x / 0 * 0, y, x, y, (4,))", "must be finite, got nan in sample 0"),
    "shape": ("Data('t', Classification(2), x, y, x, y, (5,))", "must be (N, 5) float32"),
    "nothing": ("None", "must return aimco.tasks.Data, got NoneType"),
    "error": ("1 / 0", "ZeroDivisionError"),
}


@pytest.mark.parametrize("fault", BAD_TASKS)
def test_a_wrong_task_is_told_in_one_sentence(fault, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text, message = BAD_TASKS[fault]
    head = "import torch\nfrom aimco.tasks import Classification, Data, Task\n\n\nclass Mine(Task):\n"
    head += "    def data(self, data_dir=None, seed=0, limit=None):\n"
    Path("task.py").write_text(f"{head}        x, y = torch.rand(20, 4), torch.arange(20) % 2\n        return {text}\n")
    Path("design.toml").write_text('device = "ideal"\n')
    assert main(["run", "design.toml", "--task", "task.py:Mine"]) == 2
    err = capsys.readouterr().err.strip()
    assert message in err.splitlines()[-1] and "Traceback" not in err


X, Y = np.random.default_rng(0).random((40, 3)), np.arange(40) % 4
BAD_ARRAYS = {
    "900 x against 1000 y": ((X[:30], Y), "y must hold one target for each sample of x, 30, got 40"),
    "nan": ((np.where(np.arange(120).reshape(40, 3) == 50, np.nan, X), Y), "x must be finite, got nan in sample"),
    "infinite": ((np.full_like(X, np.inf), Y), "x must be finite, got inf"),
    "too large": ((X * 1e300, Y), "x must be at most 3.4e"),
    "complex": ((X + 1j, Y), "must be real numbers in an array of one shape, got complex"),
    "text": ((X.astype(str), Y), "x must be numbers, got text"),
    "float labels": ((X, Y.astype(float)), "holds whole numbers as floats"),
    "one label": ((X, 0 * Y), "must hold at least 2 labels, got only 0"),
    "one-hot": ((X, np.eye(4, dtype=int)[Y]), "give the index of the 1 in each row"),
    "every label once": ((X, np.arange(40)), "must hold several samples of each label"),
    "ragged": (([[1.0], [1.0, 2.0]], [0, 1]), "must be an array of one shape"),
    "no samples": ((X[:0], Y[:0]), "must hold at least one sample"),
    "nan targets": ((X, np.where(Y == 3, np.nan, Y + 0.5)), "y must be finite, got nan in sample 3"),
    "not a pair": (7, "must be a pair (x, y)"),
    "objects": ((np.array([object()] * 40), Y), "must be real numbers"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_wrong_arrays_are_told_in_one_sentence(case):
    given, message = BAD_ARRAYS[case]
    with np.errstate(all="ignore"), pytest.raises(InputError) as caught:
        load(given)
    assert message in str(caught.value) and "\n" not in str(caught.value)


class Pairs(torch.utils.data.Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, k):
        return torch.from_numpy(X[k]), int(Y[k])


@pytest.mark.parametrize(
    "given", [(X, Y), (torch.from_numpy(X), torch.from_numpy(Y)), (X.tolist(), Y.tolist()), (np.asfortranarray(X)[:, ::1], Y), Pairs()]
)
def test_any_layout_gives_the_same_samples(given):
    data, want = load(given), load((X, Y))
    assert torch.equal(data.train_x, want.train_x) and torch.equal(data.test_y, want.test_y) and data.goal == want.goal


def test_the_split_does_not_depend_on_the_labels_and_is_disjoint():
    data = load((np.arange(40.0)[:, None], Y))
    assert sorted(torch.cat((data.train_x, data.test_x))[:, 0].tolist()) == list(range(40)) and len(data.test_x) == 8


def test_texts_are_labels_in_their_order():
    data = load((X, np.array(["cat", "ant", "bee", "ant"])[Y]))
    assert data.goal == Classification(3, ("ant", "bee", "cat"))


FILES = {
    "one.npz": lambda p: np.savez(p, x=X, y=Y),
    "two.npz": lambda p: np.savez(p, X_train=X, y_train=Y, X_test=X, y_test=Y),
    "named.npz": lambda p: np.savez(p, images=X, labels=Y),
    "a.pt": lambda p: torch.save({"x": torch.from_numpy(X), "y": torch.from_numpy(Y)}, p),
    "b.pt": lambda p: torch.save((torch.from_numpy(X), torch.from_numpy(Y)), p),
    "bare.csv": lambda p: np.savetxt(p, np.column_stack((X, Y)), delimiter=",", fmt=["%.18e"] * 3 + ["%d"]),
    "headed.csv": lambda p: p.write_text(
        "y;a;b;c\n" + "\n".join(f"{t};{a!r};{b!r};{c!r}" for t, (a, b, c) in zip(Y, X.tolist(), strict=True))
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_files_give_their_arrays(name, tmp_path):
    FILES[name](tmp_path / name)
    data = load(str(tmp_path / name))
    want = load((X, Y), seed=0) if name != "two.npz" else data_of((X, Y), (X, Y))
    assert torch.equal(data.train_x, want.train_x) and torch.equal(data.test_y, want.test_y)
    assert data.goal == want.goal and data.name == name


def test_a_folder_of_images_gives_them_with_their_classes(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for k, name in enumerate(("left", "right")):
        for j in range(6):
            (tmp_path / name).mkdir(exist_ok=True)
            image.fromarray(np.full((4, 5), 40 * k + j, np.uint8)).save(tmp_path / name / f"{j}.png")
    data = load(str(tmp_path))
    assert data.shape == (1, 4, 5) and data.goal == Classification(2, ("left", "right"))
    assert float(data.train_x.max()) <= 45.001 / 255
    (tmp_path / "right" / "odd.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"odd.png: must be an image"):
        load(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "e.npz", "must be an .npz file of plain arrays"),
        (b"junk", "e.pt", "must be a file of tensors"),
        (b"\xff\xfe", "e.csv", "must be text of columns"),
        (b"1,2\n3,x,4\n", "e.csv", "row"),
        (b"a,b\n1,two\nq,4\n", "e.csv", "must hold numbers beside the target, got 'q'"),
    ],
)
def test_broken_files_are_told_in_one_sentence(content, name, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        load(str(tmp_path / name))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_task_is_named_by_a_text_that_makes_it_again(tmp_path):
    np.savez(tmp_path / "d.npz", x=X, y=Y.astype(float) / 7)
    for task in (
        "digits",
        str(tmp_path / "d.npz"),
        {"kind": "arrays", "path": str(tmp_path / "d.npz"), "goal": "regression", "test_fraction": 0.5},
    ):
        record = task_of(task)
        assert task_of(record.text()) == record


# values and sequences


def test_values_are_learned_and_judged_by_their_error():
    w = torch.tensor([[0.4], [-0.2], [0.1]])
    x = 2 * torch.rand(300, 3, generator=torch.Generator().manual_seed(0)) - 1
    design = ai.Design(device="ideal", network={"hidden": []}, rule={"kind": "sgd", "lr": 0.1}, training={"epochs": 5})
    result = ai.evaluate(design, (x, x @ w))
    assert result.metrics["r2"] > 0.95 and result.metrics["rmse"] < 0.1
    assert result.main.name == "rmse" and result.main.direction == "min"
    with pytest.raises(AttributeError, match="has no accuracy; its metrics are rmse, r2"):
        _ = result.accuracy


def per_step(shape, outputs):
    class Steps(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.out = nn.RNN(shape[1], 8, batch_first=True), nn.Linear(8, outputs)

        def forward(self, x):
            return self.out(self.layer(x)[0])

    return Steps()


def test_a_label_for_each_step_of_a_sequence_is_learned():
    """Whether a number is above zero, step by step."""
    x = torch.randn(200, 6, 2, generator=torch.Generator().manual_seed(0))
    y = (x[:, :, 0] > 0).long()
    design = ai.Design(device="ideal", network=per_step, rule={"kind": "sgd", "lr": 0.3}, training={"epochs": 4})
    result = ai.evaluate(design, (x, y))
    assert result.metrics["accuracy"] > 0.85


def test_a_studys_objective_must_be_a_metric_of_its_task(tmp_path):
    from aimco.studies import Study, default_storage, run

    np.savez(tmp_path / "d.npz", x=X, y=Y / 7)
    space = {"rule.lr": {"choices": [0.1, 0.2]}}
    fields = {"name": "s", "base": {"device": "ideal", **FAST}, "task": str(tmp_path / "d.npz"), "space": space, "sampler": "grid"}
    storage = default_storage(tmp_path / "s.toml")
    with pytest.raises(InputError, match=r"objectives must be metrics of task d.npz, rmse, r2, or costs, got 'accuracy'"):
        run(Study.of(fields), storage=storage)
    trials = run(Study.of(fields | {"objectives": ["rmse", "energy"]}), storage=storage)
    assert all(set(t.values) == {"rmse", "energy"} for t in trials)


def test_a_goal_with_another_loss_descends_it():
    """The written-out gradient is of the goal's own loss alone."""

    class Fourth(Regression):
        def loss(self, out, y):
            return (out - y).pow(4).flatten(1).mean(1)

    out, y = torch.randn(1, 5, 2), torch.randn(1, 5, 2)
    _, d = Fourth(2).error(out, y)
    torch.testing.assert_close(d, -4 * (out - y) ** 3 / 10)


@given(st.binary(max_size=200), st.sampled_from(["a.npz", "a.npy", "a.csv", "a.txt", "a.pt"]), st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_samples_or_refused_in_one_sentence(tmp_path, content, name, text):
    """Bytes as they come, and letters that tables are made of."""
    path = tmp_path / name
    path.write_bytes(bytes(b"0123456789.,;-ex\n\t \xff"[b % 20] for b in content) if text else content)
    try:
        data = load({"kind": "arrays", "path": str(path)})
    except InputError as error:
        assert ("\n" not in str(error) and str(path) in str(error)) or name in str(error)
    else:
        assert checked(data, "own") is data


# what fresh eyes found


def test_a_limit_and_labels_of_data_at_hand_are_checked():
    data = load((X, Y))
    assert len(load(data, limit=7).train_x) == 7
    with pytest.raises(InputError, match=r"limit must be in 1\.\.32"):
        load(data, limit=33)
    with pytest.raises(InputError, match=r"must be labels in 0..3, got -1"):
        load(replace(data, train_y=data.train_y - 1))


def test_a_header_with_blanks_is_of_commas(tmp_path):
    rows = "\n".join(f"{a!r},{b!r},{c!r},{t}" for (a, b, c), t in zip(X.tolist(), Y, strict=True))
    (tmp_path / "iris.CSV").write_text("sepal length (cm),sepal width (cm),petal length (cm),target\n" + rows)
    assert torch.equal(load(str(tmp_path / "iris.CSV")).train_x, load((X, Y)).train_x)
    assert task_of(task_of(str(tmp_path / "iris.CSV")).text()) == task_of(str(tmp_path / "iris.CSV"))
    (tmp_path / "short.csv").write_text("a,b,y\n1,2\n")
    with pytest.raises(InputError, match="row 2 must have 3 columns"):
        load(str(tmp_path / "short.csv"))


def test_an_array_that_is_missing_is_named(tmp_path):
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    with pytest.raises(InputError, match="has no array images"):
        load({"kind": "arrays", "path": str(tmp_path / "d.npz"), "x": "images"})


def weights_of(model: nn.Module) -> list[torch.Tensor]:
    return [layer.weight.detach().clone() for layer in analog_layers(model).values()]  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("frozen", ["weight", "both"])
def test_what_a_model_freezes_stays(frozen):
    def net(inputs, outputs):
        model = nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, outputs))
        for n, p in model[0].named_parameters():
            p.requires_grad_(frozen == "weight" and n == "bias")
        return model

    design, data = ai.Design(device="ideal", network=net, **FAST), load((X, Y))
    models = []
    ai.evaluate(design, data, on_trained=models.append)
    before, after = design.network.build(data, design, (0,)), models[0]
    (first, second), (one, two) = weights_of(before), weights_of(after)
    assert torch.equal(first, one) and not torch.equal(second, two)
    moved = not torch.equal(before[0][0].bias.detach().clone(), after[0][0].bias.detach().clone())
    assert moved == (frozen == "weight")


def dropping(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, 16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, outputs))


def test_dropout_is_drawn_by_the_seed_and_resumes(tmp_path):
    design = ai.Design(device="ideal", network=dropping, training={"epochs": 2, "batch": 10})
    data, path = load((X, Y)), str(tmp_path / "state")
    straight, again = (ai.evaluate(design, data, seed=5).curves for _ in range(2))
    assert straight == again != ai.evaluate(design, data, seed=6).curves

    def stop(epoch: int, epochs: int, value: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ai.evaluate(design, data, seed=5, checkpoint=path, on_epoch=stop)
    assert ai.evaluate(design, data, seed=5, checkpoint=path).curves == straight


def test_a_chain_of_ours_is_told_that_its_outputs_do_not_fit():
    x = torch.rand(20, 5, 2)
    with pytest.raises(InputError, match=r"must give outputs of shape \(batch, 5, 3\) for regression, got \(batch, 3\)"):
        ai.evaluate(ai.Design(device="ideal", **FAST), (x, torch.rand(20, 5, 3)))


def test_the_price_of_one_matrix_is_that_of_the_run():
    design = ai.Design(device="ideal", periphery={"bound_management": "none"}, **FAST)
    result, known = ai.evaluate(design, "program", limit=10), of_design(design, task_of("program").sample())
    assert [(s.rows, s.columns) for s in known.shapes()] == [(20, 20)]
    assert inference(design, known, both_sides=True).area_m2 == pytest.approx(result.area_m2, rel=1e-12)
    assert ai.estimate(design, task=load("program", limit=10)).inference.area_m2 > 0


class Named(nn.Module):
    """Attention called by names, and a layer under two parents."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.one = nn.Sequential(nn.Linear(8, 8))
        self.two = nn.Sequential(self.one[0])

    def forward(self, x):
        return self.two(self.one(self.attention(query=x, key=x, value=x, need_weights=False)[0]))


def test_layers_called_by_names_and_shared_by_parents_are_traced_once():
    vectors = {s.name: s.vectors for s in shapes_of(Named(), (5, 8))}
    assert vectors == {"attention.q_proj": 5, "attention.k_proj": 5, "attention.v_proj": 5, "attention.out_proj": 5, "one.0": 10}
    assert [(s.name, s.vectors) for s in shapes_of(nn.Linear(8, 3), (5, 8))] == [("layer", 5)]


def test_a_study_over_changed_data_is_another(tmp_path):
    from aimco.studies import Study

    def identity(values: np.ndarray) -> str:
        np.savez(tmp_path / "d.npz", x=values, y=Y)
        space = {"rule.lr": {"choices": [0.1, 0.2]}}
        plain = {"name": "s", "base": {"device": "ideal"}, "task": str(tmp_path / "d.npz"), "space": space, "sampler": "grid"}
        return Study.of(plain).identity()

    assert identity(X) == identity(X) != identity(X + 1)


def test_a_study_minimises_a_metric_of_ones_own_that_is_to_fall(folder):
    from aimco.studies import Study, default_storage, front, run

    base = {"device": "ideal", "network": {"hidden": []}, "training": {"epochs": 3}}
    plain = {"name": "s", "base": base, "task": "my_task.py:Sines", "sampler": "grid", "space": {"rule.lr": {"choices": [0.0, 0.05]}}}
    with pytest.raises(InputError, match=r"objectives.0.direction is missing; say 'max' or 'min' of error"):
        Study.of(plain | {"objectives": ["error"]})
    study = Study.of(plain | {"objectives": [{"name": "error", "direction": "min"}], "pruning": {"rule": "median"}})
    trials = run(study, storage=default_storage("s.toml"))
    (best,) = front(trials)
    assert best.point == {"rule.lr": 0.05} and best.values["error"] == min(t.values["error"] for t in trials)


OWN_METHODS = {
    "cell": (
        "from aimco import Cell\n\n\nclass Mine(Cell):\n    @property\n    def signs(self):\n        return (1, 1)\n\n"
        "    def routes(self, before, count):\n        yield 0, count, ((0, 0),)\n",
        "is it meant to be route",
    ),
    "network": (
        "from aimco.networks import Layered\n\n\nclass Mine(Layered):\n    def built(self, data, design, seeds):\n        return 1\n",
        "has no method build(self, data, design, seeds)",
    ),
}


@pytest.mark.parametrize("part", OWN_METHODS)
def test_a_misspelt_method_of_a_cell_or_network_is_told(part, tmp_path):
    text, message = OWN_METHODS[part]
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(InputError) as caught:
        ai.Design.of({"device": "ideal", part: {"kind": f"{tmp_path / 'mine.py'}:Mine"}})
    assert message in str(caught.value) and "mine.py:" in str(caught.value)


def test_a_misspelt_method_of_a_task_is_told(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from aimco.tasks import Task\n\n\nclass Mine(Task):\n    def dat(self, data_dir, seed, limit):\n        return 1\n"
    )
    with pytest.raises(InputError, match=r"has no method data\(self, data_dir, seed, limit\); is dat meant to be data"):
        load(f"{tmp_path / 'mine.py'}:Mine")


def test_requirements_of_values_say_what_their_per_cent_are(tmp_path):
    from aimco.studies.requirements import Question, derive

    np.savez(tmp_path / "d.npz", x=X, y=X @ [0.5, -0.3, 0.2])
    asked = Question(("sgd",), str(tmp_path / "d.npz"), seeds=1, only=("step",), epochs=1)
    (derived,) = derive(asked).rules
    assert derived.notes[0] == "per cent and points are of a perfect result, 100 r2"
