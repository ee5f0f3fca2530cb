# make test: checks and tests in a virtual environment of its own, made when it is missing or stale.
PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: test lint

test: lint
	$(BIN)/pytest -q -n $(JOBS) --dist loadfile --durations=10

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# The link lets pyright resolve saeval_tasks, which the editable install maps to tasks/ at run time.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[test]'
	mkdir -p .venv/typings
	ln -sfn ../../tasks .venv/typings/saeval_tasks
	touch $@
