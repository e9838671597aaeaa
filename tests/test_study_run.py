"""Running a study: the same trials whatever the workers and however often it is killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import tomli_w

import aimco as ai
from aimco.cli import main
from aimco.record import InputError
from aimco.studies import Study, default_storage, front, run, trials
from aimco.studies.store import opened
from studies import SMALL, same, small, stopped


def url(folder: Path, name: str = "s") -> str:
    return default_storage(folder / f"{name}.toml")


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """The small study, run in one process without a break."""
    return run(small(), storage=url(tmp_path_factory.mktemp("serial")))


def test_trials_are_read_from_the_storage_alone(tmp_path, serial):
    run(small(), storage=url(tmp_path))
    first = trials(small(), url(tmp_path))
    assert same(first, serial)
    assert [t.number for t in first] == list(range(8))
    one = first[0]
    assert set(one.values) == {"accuracy", "energy"}
    assert ai.Design.of(tomllib.loads(one.design)).hash() == small().design(one.point).hash()
    assert one.result["energy_J"]["total"] == one.values["energy"] > 0
    assert len(one.curves["test_accuracy"]) == 1
    accuracies = [t.values["accuracy"] for t in first]
    assert max(accuracies) > 0.4 and max(accuracies) - min(accuracies) > 0.2, "points at chance would agree whatever was run"
    assert one.wall_s > 0


def test_a_pack_gives_each_point_what_it_gets_alone(serial, tmp_path):
    alone = run(small(pack=1), storage=url(tmp_path))
    assert [t.point for t in alone] == [t.point for t in serial]
    for one, packed in zip(alone, serial, strict=True):
        assert packed.curves["train_loss"] == pytest.approx(one.curves["train_loss"], abs=1e-5)
        assert packed.values["accuracy"] == pytest.approx(one.values["accuracy"], abs=0.01)
        assert packed.values["energy"] == pytest.approx(one.values["energy"], rel=1e-3)


def test_objectives_are_means_over_seeds(tmp_path):
    (trial,) = run(small(seeds=[3, 5], trials=1), storage=url(tmp_path))
    solo = [ai.evaluate(small().design(trial.point), seed=seed, limit=SMALL["limit"]) for seed in (3, 5)]
    assert trial.seeds == [3, 5]
    assert abs(solo[0].accuracy - solo[1].accuracy) > 0.02
    assert trial.values["accuracy"] == pytest.approx(sum(r.accuracy for r in solo) / 2, abs=0.005)
    assert trial.values["energy"] == pytest.approx(sum(r.energy_J["total"] for r in solo) / 2, rel=1e-3)


@pytest.mark.parametrize("sampler", ["grid", "sobol", "tpe", "nsga2"])
def test_every_sampler_runs_and_goes_on_as_if_never_stopped(tmp_path, sampler):
    """Stopped after three trials in the middle of a pack, and after five in the second generation."""
    space = {p: a | ({} if sampler != "grid" else {"low": 0.5, "high": 1.0, "step": 0.25, "log": False}) for p, a in SMALL["space"].items()}
    study = small(sampler=sampler, space=space, constraints={"accuracy": {"at_least": 0.05}})
    whole = run(study, storage=url(tmp_path, "whole"))
    assert len(whole) == 8

    for after in (3, 5):
        stopped(study, url(tmp_path), after)
        assert len(trials(study, url(tmp_path))) == after
    progress = []
    assert same(run(study, storage=url(tmp_path), resume=True, on_trial=lambda trial, done, size: progress.append(done)), whole)
    assert progress == [6, 7, 8]


def test_more_trials_go_on_from_those_there(tmp_path, serial):
    assert same(run(small(trials=4), storage=url(tmp_path)), serial[:4])
    assert same(run(small(), storage=url(tmp_path)), serial)
    assert same(run(small(trials=4), storage=url(tmp_path)), serial[:4])


def test_impossible_points_fail_with_their_reason_and_stop_nothing(tmp_path):
    space = {
        "periphery.adc.bits": {"choices": [4.0, float("inf")]},
        "periphery.adc.range_A": {"choices": [1e-6, float("inf")]},
    }
    finished_trials = run(small(space=space, sampler="grid", trials=None), storage=url(tmp_path))
    bad = [t for t in finished_trials if t.state == "failed"]
    assert len(finished_trials) == 4
    assert [t.point for t in bad] == [{"periphery.adc.bits": 4.0, "periphery.adc.range_A": float("inf")}]
    assert "periphery.adc.range_A must be finite for an ADC of 4 bits" in bad[0].reason
    assert bad[0].values == {}
    assert not bad[0].feasible


def test_constraints_say_what_is_feasible(tmp_path, serial):
    limit = sorted(t.values["energy"] for t in serial)[3]
    finished_trials = run(small(constraints={"energy": {"at_most": limit}}), storage=url(tmp_path))
    assert [t.feasible for t in finished_trials] == [t.values["energy"] <= limit for t in serial]
    assert all(t.values["energy"] <= limit for t in front(finished_trials))


def test_a_different_study_of_the_same_name_is_refused(tmp_path):
    run(small(trials=1), storage=url(tmp_path))
    with pytest.raises(InputError, match="holds a different study named 'small'"):
        run(small(trials=1, seed=1), storage=url(tmp_path))
    run(small(trials=1, seed=1, name="other"), storage=url(tmp_path))
    with pytest.raises(InputError, match="has no study 'third' to go on with"):
        run(small(name="third"), storage=url(tmp_path), resume=True)
    with pytest.raises(InputError, match="there is no such file"):
        trials(small(), url(tmp_path, "nowhere"))


def test_two_runs_do_not_share_a_file(tmp_path):
    def second(trial, done, size):
        with pytest.raises(InputError, match="is in use by another run"):
            run(small(), storage=url(tmp_path))

    run(small(trials=1), storage=url(tmp_path), on_trial=second)


def test_workers_give_what_one_process_gives_and_a_killed_one_is_replaced(tmp_path, serial):
    killed = []

    def kill(trial, done, size):
        if not killed:
            killed.append(multiprocessing.active_children()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    assert same(run(small(), storage=url(tmp_path), workers=2, on_trial=kill), serial)
    assert killed
    assert not [child for child in multiprocessing.active_children() if child.pid in killed]


def _killed_and_resumed(folder: Path, kills: int, draws: random.Random) -> list:
    """Run by the command line, killed at random moments of its work, then to the end."""
    file = folder / "small.toml"
    file.write_text(tomli_w.dumps(SMALL | {"pack": 1}))
    words = [sys.executable, "-m", "aimco", "study", str(file), "--out", str(folder / "out")]
    counted: list[int] = []
    for _ in range(kills):
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
            assert running.stderr is not None
            running.stderr.readline()
            time.sleep(draws.uniform(0, 0.4))
            running.kill()
        counted.append(len(trials(Study.load(file), url(folder, "small"))))
        assert counted == sorted(counted)
        if counted[-1] == 8:
            break
    return run(Study.load(file), storage=url(folder, "small"))


def _check_nothing_lost_or_twice(tmp_path, kills: int, draws: random.Random) -> None:
    finished_trials = _killed_and_resumed(tmp_path, kills, draws)
    assert same(finished_trials, run(small(pack=1), storage=url(tmp_path, "whole")))
    with opened(small(pack=1), url(tmp_path, "small")) as store:
        assert [(r.number, r.state.name) for r in store.records()] == [(k, "COMPLETE") for k in range(8)]


def test_a_killed_study_goes_on_with_nothing_lost_and_nothing_twice(tmp_path):
    _check_nothing_lost_or_twice(tmp_path, 2, random.Random(0))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_study_killed_often_goes_on_with_nothing_lost_and_nothing_twice(tmp_path, seed):
    _check_nothing_lost_or_twice(tmp_path, 4, random.Random(seed))


@pytest.mark.slow
def test_workers_end_with_their_coordinator(tmp_path):
    """The coordinator is killed in mid-run; its workers are gone seconds later."""
    code = (
        "import multiprocessing, os, signal\n"
        "from studies import small\n"
        "from aimco.studies import run\n"
        "def kill(*_):\n"  # after the first trial of the only pack
        "    print(*[c.pid for c in multiprocessing.active_children()], flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        f"if __name__ == '__main__': run(small(trials=4, pack=4), storage={url(tmp_path)!r}, workers=2, on_trial=kill)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    paths = {"PYTHONPATH": os.pathsep.join(p for p in [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")] if p)}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, env=os.environ | paths)
    assert done.returncode == -signal.SIGKILL, done.stderr
    pids = [int(word) for word in done.stdout.split()]
    assert pids
    patience = time.monotonic() + 20
    while (alive := [pid for pid in pids if _runs(pid)]) and time.monotonic() < patience:
        time.sleep(0.1)
    assert not alive


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_gives_what_one_process_gives_and_survives_a_lost_worker(tmp_path, serial):
    distributed = pytest.importorskip("distributed")
    killed = []
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None, "silence_logs": 50}
    with distributed.LocalCluster(**options) as cluster:

        def kill(trial, done, size):
            if not killed:
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)

        finished_trials = run(small(), storage=url(tmp_path), cluster=cluster.scheduler_address, on_trial=kill)
    assert killed
    assert same(finished_trials, serial)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workers", "0"], "workers must be in 1..1024"),
        (["--workers", "2", "--cluster", "tcp://x:1"], "exclude each other"),
        (["--storage", "sqlit:///x.db"], "cannot be opened"),
        (["--resume"], "no study 'small' to go on with"),
    ],
)
def test_wrong_options_are_one_sentence(tmp_path, capsys, words, message):
    file = tmp_path / "small.toml"
    file.write_text(tomli_w.dumps(SMALL))
    assert main(["study", str(file), *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_the_command_writes_the_front_and_what_runs_it_again(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(tomli_w.dumps(SMALL | {"base": "base.toml"}))
    small().base.save("base.toml")
    assert main(["study", "small.toml", "--requirement", "rpu", "--requirement", "rpx"]) == 2
    assert "requirement 'rpx' is unknown" in capsys.readouterr().err
    assert main(["study", "small.toml", "--requirement", "rpu"]) == 0
    out, err = capsys.readouterr()
    page = Path("small-study/report.html").read_text()
    for message in ("aimco study small.toml --requirement rpu", "<h2>Tolerances</h2>", "at least 24 MOhm", "0.02 passes", "not known"):
        assert message in page
    assert "8 of 8 trials" in err
    assert "Pareto front" in out
    assert main(["study", "small.toml", "--json"]) == 0
    assert "<h2>Tolerances</h2>" not in Path("small-study/report.html").read_text()
    output = json.loads(capsys.readouterr().out)
    assert output["trials"] == {"complete": 8}
    assert output["knee"] in [p["trial"] for p in output["front"]]
    assert len(Path("small-study/trials.csv").read_text().splitlines()) == 9
    point = output["front"][0]
    assert main([*point["run"][0].split()[1:], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["accuracy"] == pytest.approx(point["values"]["accuracy"], abs=0.01)


MEASURE = """
import resource, sys
from aimco import studies
from aimco.studies.space import Study
peaks = {}
def on_trial(trial, done, size):
    peaks[done] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
studies.run(Study.load(sys.argv[1]), storage="sqlite:///" + sys.argv[2], on_trial=on_trial)
print(peaks[1000] - peaks[100])
"""


@pytest.mark.slow
def test_memory_grows_by_less_than_50_megabytes_from_a_hundred_trials_to_a_thousand(tmp_path):
    text = 'name = "long"\ntask = "digits"\ntrials = 1000\nlimit = 50\n[base]\ndevice = "rpu"\nrule = { kind = "sgd", lr = 0.1 }\n'
    text += 'network = { hidden = [4] }\ntraining = { epochs = 1 }\n[space]\n"rule.lr" = { low = 0.01, high = 0.5, log = true }\n'
    (tmp_path / "long.toml").write_text(text)
    words = [sys.executable, "-c", MEASURE, str(tmp_path / "long.toml"), str(tmp_path / "long.db")]
    assert float(subprocess.run(words, check=True, capture_output=True, text=True).stdout) < 50
