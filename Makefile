# Everything a fresh machine needs is Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install demo test check learning throughput tables clean

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

# The fast suite; a file's tests stay together, for what they share is compiled once.
test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not learning' -q

# The fast suite, lint, format and types.
check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(MAKE) test

# Published numbers, over seeds: hours. Each script writes benchmarks/results/*.json.
learning: $(VENV)/.installed-dev
	for script in benchmarks/learning/[a-z]*.py; do $(BIN)/python $$script || exit 1; done

# Speed against named peers, in environments of their own.
throughput: $(VENV)/.installed-dev
	sh benchmarks/throughput/make_peers.sh
	$(BIN)/python benchmarks/throughput/ratios.py

# The README's tables and the pictures of docs/methods, from benchmarks/results.
tables: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/tables.py
	$(BIN)/python benchmarks/figures.py

clean:
	rm -rf $(VENV) .venv-peers-* .pytest_cache .ruff_cache .mypy_cache .cache
