# make demo: SAEs of the lab scored, on nothing but what is in this folder, and a site of the scores.
# make test: all checks and tests.
# Both make a virtual environment of their own when it is missing or stale.
PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
READY := .venv/.ready
STAMP := .venv/.installed
DEMO := $(addprefix lab/world/,oracle topk-16 relu-16 frozen-decoder random)

.PHONY: demo test soak lint bench

demo: $(READY)
	$(BIN)/saeval run $(DEMO:%=--sae %) --tasks core,probing,absorption \
	  --output-path results/demo
	$(BIN)/saeval leaderboard build --results results/demo --site results/demo-site
	@echo 'Look at it: open results/demo-site/index.html in a browser.'

test: lint
	$(BIN)/pytest -q -n $(JOBS) --dist loadfile --durations=10

# What is too long for every day: every family of models that transformers knows, and the like.
soak: $(STAMP)
	$(BIN)/pytest -q -n $(JOBS) -m soak --durations=10

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# What core costs, on inputs of yours or on small ones made on the spot; for wide SAEs; training.
# make bench MODEL=folder SAES='folder folder' TOKENS=rows.npy FIRST=480 SITE=layers.2
# make bench MODEL=folder SAES='folder folder' DATA=train.parquet:label COMPAT=saebench MIN_F1=.15
bench: $(STAMP)
	$(BIN)/python benchmarks/core.py $(if $(MODEL),--model '$(MODEL)') $(if $(SAES),--saes $(SAES)) \
	  $(if $(TOKENS),--tokens '$(TOKENS)') $(if $(FIRST),--first $(FIRST)) $(if $(SITE),--site '$(SITE)')
	$(BIN)/python benchmarks/absorption.py $(if $(MODEL),--model '$(MODEL)') $(if $(SAES),--saes $(SAES)) \
	  $(if $(SITE),--site '$(SITE)') $(if $(COMPAT),--compat $(COMPAT)) \
	  $(if $(MIN_F1),--min-probe-f1 $(MIN_F1))
	$(BIN)/python benchmarks/probing.py $(if $(DATA),--model '$(MODEL)' --saes $(SAES) --data $(DATA) \
	  $(if $(SITE),--site '$(SITE)') $(if $(COMPAT),--compat $(COMPAT)))
	$(BIN)/python benchmarks/wide.py
	$(BIN)/python benchmarks/train.py
	$(BIN)/python benchmarks/othello.py

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[site]'
	touch $@

# The link lets pyright resolve saeval_tasks, which the editable install maps to tasks/ at run time.
$(STAMP): $(READY)
	$(BIN)/pip install -q -c constraints.txt -e '.[test]'
	mkdir -p .venv/typings
	ln -sfn ../../tasks .venv/typings/saeval_tasks
	touch $@
