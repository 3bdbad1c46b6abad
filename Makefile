# Everything a fresh machine needs is Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FRAMEWORKS := .venv-frameworks

.PHONY: install demo test frameworks check learning throughput tables clean

# The package with its pinned dependencies.
install: $(VENV)/.installed
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "RL-Meta needs Python 3.11 or newer, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

# What the tests, linters and types need.
$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# The main job: meta-train on cartpole, adapt to 200 unseen tasks, write a report page.
demo: $(VENV)/.installed
	$(BIN)/rl-meta demo

# The fast suite (a file's tests stay together, for what they share is compiled once), then that of frameworks.
test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not learning and not frameworks' -q
	$(MAKE) frameworks

# The tests against Stable-Baselines3, PyTorch, TensorFlow, ONNX, Ray, EnvPool and FastAPI, in an environment of their
# own (4 GB). Those that start a Ray run one after the other.
frameworks: $(FRAMEWORKS)/.installed
	$(FRAMEWORKS)/bin/python -m pytest -n 2 --dist loadgroup -m 'frameworks and not learning' -q \
	  $$(grep -rl --include='test_*.py' mark.frameworks tests)
$(FRAMEWORKS)/.installed: pyproject.toml constraints.txt constraints-frameworks.txt
	$(PYTHON) -m venv $(FRAMEWORKS)
	$(FRAMEWORKS)/bin/python -m pip install -qq --no-compile --constraint constraints-frameworks.txt --editable '.[frameworks]'
	touch $@

# The fast suite, lint, format and types.
check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(MAKE) test

# Published numbers, over seeds: hours. Each script writes benchmarks/results/*.json.
learning: $(VENV)/.installed-dev $(FRAMEWORKS)/.installed
	for script in $$(ls benchmarks/learning/*.py | grep -v '_sb3\|_rllib'); do $(BIN)/python $$script || exit 1; done
	for script in benchmarks/learning/*_sb3.py benchmarks/learning/*_rllib.py; do \
	  $(FRAMEWORKS)/bin/python $$script || exit 1; done

# Speed against named peers, in environments of their own.
throughput: $(VENV)/.installed-dev $(FRAMEWORKS)/.installed
	sh benchmarks/throughput/make_peers.sh
	$(BIN)/python benchmarks/throughput/ratios.py

# The README's tables and the pictures of docs/methods, from benchmarks/results.
tables: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/tables.py
	$(BIN)/python benchmarks/figures.py

clean:
	rm -rf $(VENV) $(FRAMEWORKS) .venv-peers-* .pytest_cache .ruff_cache .mypy_cache .cache
