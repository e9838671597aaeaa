# Targets for use and development; `make help` lists them.

PYTHON ?= python3
DATA ?= data/mnist
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Where tests look for MNIST; without it the tests that need it are skipped by name.
AIMCO_DATA ?= $(abspath $(DATA))
export AIMCO_DATA

.PHONY: advise advise-checks advise-mnist default-rates fuzz help install demo test test-lowest oracles slow bench brian2 torch-models references clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s%s\n", $$1, $$2 }' Makefile

install: $(STAMP)  ## make .venv with aimco and its tools (PYTHON=python3 chooses the interpreter)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("aimco needs Python 3.11 or newer; name one with make install PYTHON=...")'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)  # also where a first try made no pip
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: install  ## which algorithm makes each of five devices learn digits: a table and aimco-report/ (2 min)
	$(BIN)/aimco demo

test: install oracles  ## lint, types, layers, the fast tests (WORKERS=2 processes) and the examples in docstrings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m 'not slow' --doctest-modules --ignore src/aimco/peers/spikes_brian2.py tests src/aimco

oracles:  ## programs that results are checked against: ngspice
	@sh tools/oracles.sh

fuzz: install  ## 10,000 damaged inputs through the command line, then kill -9 at random moments (40 min); kept in docs/results
	PYTHONPATH=tests $(BIN)/python -m fuzz --count 10000 --workers 2 --out docs/results
	PYTHONPATH=tests $(BIN)/python -m fuzz.kills --times 20 --out docs/results

test-lowest:  ## the fast tests on the lowest versions that pyproject.toml declares (20 min); kept in docs/results
	$(PYTHON) -m venv build/lowest
	$(PYTHON) tools/lowest.py constraints > build/lowest.txt
	build/lowest/bin/python -m pip install -q --disable-pip-version-check -c build/lowest.txt -e '.[dev]'
	build/lowest/bin/python -m pytest -q -n $(WORKERS) --dist loadfile -m 'not slow' tests > build/lowest.log || { tail -30 build/lowest.log; exit 1; }
	build/lowest/bin/python tools/lowest.py keep build/lowest.log docs/results

slow: install oracles  ## the slow tests (DATA=folder of the MNIST files)
	$(BIN)/pytest -q -m slow

bench: install  ## speed beside peers in the same run; kept in benchmarks/
	$(BIN)/aimco bench pulse --force --out benchmarks
	$(BIN)/aimco bench train --force --out benchmarks
	$(BIN)/aimco bench hold --force --out benchmarks
	$(BIN)/aimco bench fit --force --out benchmarks
	$(BIN)/aimco bench circuit --force --out benchmarks
	$(BIN)/aimco bench wires --force --out benchmarks
	$(BIN)/aimco bench variants --force --out benchmarks
	$(BIN)/aimco bench rbm --force --out benchmarks
	$(BIN)/aimco bench cost --force --out benchmarks
	$(BIN)/aimco bench start --force --out benchmarks

brian2: install  ## spiking neurons beside Brian2, in an environment of its own (build/brian2); kept in docs/results and benchmarks/
	@sh tools/brian2.sh build/brian2 $(PYTHON)
	$(BIN)/python examples/papers/neftci2014_brian2.py --peer build/brian2/bin/python --out docs/results
	$(BIN)/aimco bench rbm --peer build/brian2/bin/python --force --out benchmarks

advise: install  ## which algorithm makes each device of the catalogue learn (60 min); kept in docs/results
	$(BIN)/python examples/advise_catalogue.py --minutes 1.4 --workers 2 --out docs/results

advise-checks: install  ## an advice beside a random search of ten times its budget (hours), and with three seeds (hours); kept in docs/results
	$(BIN)/python examples/check_advice.py seeds --workers 2 --out docs/results
	$(BIN)/python examples/check_advice.py random --workers 2 --out docs/results

advise-mnist: install  ## the same question for six devices on 10,000 images (2 h; DATA=folder of the MNIST files); kept in docs/results
	$(BIN)/python examples/advise_catalogue.py --task mnist --limit 10000 --hidden 256 128 --epochs 5 --minutes 20 --workers 2 --data-dir $(DATA) --out docs/results --device rram-array-om ecram-metal-oxide fefet-hzo pcm capacitor-cmos soft-bounds-rasch2024

default-rates: install  ## rules with the rates they take by themselves beside tuned ones, on each device (30 min); kept in docs/results
	$(BIN)/python examples/default_rates.py --workers 2 --out docs/results

torch-models: install  ## five usual torch models on analog layers beside plain torch (10 min); kept in docs/results
	$(BIN)/python examples/torch_models.py --seeds 1 --out docs/results

references: install  ## reproduce published figures on MNIST (some hours; DATA=folder of the files); kept in docs/results
	$(BIN)/aimco reference run rpu-baseline-mnist wu2024-fcn burr2014 neurosim-mlp ambrogio2018 kohda2020 xiao2026-fcn li2025-lenet kendall2020 osana2026 scellier2024 --data-dir $(DATA) --force --out docs/results
	$(BIN)/aimco reference run rasch2024-fig4 rasch2024-update-time retention-reference zero-shift-cost igzo-xor adc-regression rpu-tile neurram neurosim-fc --force --out docs/results
	$(BIN)/aimco reference run rasch2024-mnist --data-dir $(DATA) --force --out docs/results
	$(BIN)/aimco reference run kim2018-splitting --data-dir $(DATA) --checkpoints build/kim2018 --force --out docs/results
	$(BIN)/aimco requirements --rule sgd --rule tiki-taka-v2 --rule retention-tiki-taka --rule chopped-retention-tiki-taka --task digits --force --out docs/results
	$(BIN)/aimco requirements --rule tiki-taka-v2 --rule retention-tiki-taka --rule chopped-retention-tiki-taka --task digits --response soft-bounds --parameter asymmetry --parameter imbalance --baseline fast_retention=300 --force --out build/leak
	cp build/leak/requirements-digits.json docs/results/requirements-leak-digits.json
	cp build/leak/requirements-digits.png docs/results/requirements-leak-digits.png
	$(BIN)/aimco requirements --rule sgd --task mnist --data-dir $(DATA) --limit 10000 --force --out docs/results
	$(BIN)/python examples/papers/response_and_rule.py --out docs/results
	$(BIN)/python examples/papers/activity.py --data-dir $(DATA) --out docs/results
	$(BIN)/python examples/papers/refresh_of_pairs.py --out docs/results
	$(BIN)/python examples/papers/programming.py --out docs/results
	$(BIN)/python examples/papers/leak_and_reference.py --data-dir $(DATA) --out docs/results
	$(BIN)/python examples/papers/igzo_xor.py --out docs/results
	$(BIN)/python examples/papers/adc_sharing.py --out docs/results
	$(BIN)/python examples/papers/equilibrium_on_devices.py --data-dir $(DATA) --out docs/results
	$(BIN)/python examples/papers/irdrop.py --data-dir $(DATA) --out docs/results
	$(BIN)/python examples/papers/vprram.py --data-dir $(DATA) --out docs/results
	$(BIN)/python examples/papers/ep_vprram.py --out docs/results
	$(BIN)/python examples/papers/wire_mitigations.py --out docs/results
	$(BIN)/python examples/papers/neftci2014.py --data-dir $(DATA) --out docs/results
	$(BIN)/python examples/papers/ishii2019.py --data-dir $(DATA) --out docs/results
	$(BIN)/python examples/papers/shin2022.py --data-dir $(DATA) --out docs/results
	$(BIN)/python examples/papers/kang2021.py --out docs/results
	$(BIN)/python examples/papers/kang2024_maxcut.py --out docs/results

clean:  ## remove .venv, caches and built files
	rm -rf $(VENV) build dist aimco-report .pytest_cache .ruff_cache .hypothesis .benchmarks .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
