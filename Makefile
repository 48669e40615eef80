# `make demo` and `make test` work on a fresh clone: each sets up what it needs, once.
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
PYTEST := $(RUN) -m pytest --numprocesses auto --dist worksteal
QUICK := -m "not slow" --hypothesis-profile quick
SOURCES := pyproject.toml constraints.txt src/flame_metric/_version.py

.PHONY: demo test test-all coverage test-base test-clients lint fuzz mutation docs dist audit clean

demo: $(VENV)/.demo
	$(RUN) -m flame_metric demo --out demo-output
	$(RUN) -m flame_metric evaluate demo-output/predictions demo-output/labels --num-classes 8 --fps 50/3 \
		--latency-ms 76 --ignore-index 255 --hardware "as slow as DeepLab-MN on a GTX 1080 Ti" \
		--class-names sky,building,pavement,road,tree,pole,car,pedestrian --json demo-output/result.json
	@echo
	@echo "Look at demo-output/result.json for the counts behind the table, and at README.md for your own data."

# Whether the package works, in a few minutes: style and types, and the tests without those marked slow, laws with few
# examples.
test: $(VENV)/.dev lint
	$(PYTEST) $(QUICK)

# All tests, laws with all examples: a quarter of an hour.
test-all: $(VENV)/.dev lint
	$(PYTEST)

# The same, a quarter slower, and which lines and branches they reach.
coverage: $(VENV)/.dev
	$(PYTEST) --cov

lint: $(VENV)/.dev
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy
	$(RUN) -m codespell_lib

# The pages of docs/ and the docstrings, read anew each time, so that a warning is an error the second time too.
docs: $(VENV)/.docs
	$(RUN) -m sphinx --fail-on-warning --keep-going --fresh-env --quiet docs build/docs
	@echo "The documentation begins at build/docs/index.html."

# Damaged and hostile files for whatever reads files. FUZZ="--target bank --engine atheris --examples 1000000": others;
# atheris is installed where it is asked for.
fuzz: $(VENV)/$(if $(findstring atheris,$(FUZZ)),.fuzz,.dev)
	$(RUN) tools/fuzz.py $(FUZZ)

# With Hugging Face transformers, ONNX Runtime, Lightning and mmengine: what the tests above skip.
test-clients: $(VENV)/.clients
	$(PYTEST) tests/clients tests/networks/test_compilers.py

# The tests of `make test` on the base install, NumPy and SciPy: what needs more is skipped, and says so.
test-base: $(VENV)/.base
	$(PYTEST) $(QUICK)

# Does each small change of the code that counts make a test fail? Half an hour. MODULES="iou clock": of those alone.
mutation: $(VENV)/.mutation
	$(RUN) tools/mutation.py $(MODULES)

# The wheel and the source archive, built anew, checked, and tried in empty environments: without extras, and with each.
# EXTRAS="cli plot": with those alone. TAG=v1.2.3: for that release.
dist: $(VENV)/.dist
	rm -rf dist
	PIP_CONSTRAINT="$(CURDIR)/constraints.txt" $(RUN) -m build --outdir dist
	$(RUN) -m twine check --strict dist/*
	$(RUN) -m check_wheel_contents --package src/flame_metric dist/*.whl
	$(RUN) -u tools/check_dist.py dist $(if $(value TAG),--tag "$$TAG") $(if $(EXTRAS),--extras $(EXTRAS))

# Known advisories on the versions that are pinned, and on the lowest that are allowed; asks a service on the net.
audit: $(VENV)/.audit
	mkdir -p build
	grep -oE '"[A-Za-z0-9_-]+>=[0-9.]+' pyproject.toml | tr -d '"' | sed 's/>=/==/' | sort -u > build/lowest.txt
	$(RUN) -m pip_audit --strict --no-deps --disable-pip --requirement constraints.txt
	$(RUN) -m pip_audit --strict --no-deps --disable-pip --requirement build/lowest.txt

clean:
	rm -rf $(VENV) demo-output build dist mutants .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(VENV)/.demo: $(SOURCES) | $(RUN)
	$(PIP) --editable '.[cli]'
	touch $@

$(VENV)/.dev: $(SOURCES) | $(RUN)
	$(PIP) --editable '.[dev]'
	touch $@

$(VENV)/.fuzz: $(SOURCES) | $(RUN)
	$(PIP) --editable '.[dev,fuzz]'
	touch $@

$(VENV)/.docs: $(SOURCES) | $(RUN)
	$(PIP) --editable '.[docs]'
	touch $@

$(VENV)/.clients: $(SOURCES) | $(RUN)
	$(PIP) --editable '.[dev,clients]'
	touch $@

$(VENV)/.mutation: $(SOURCES) | $(RUN)
	$(PIP) --editable '.[mutation]'
	touch $@

$(VENV)/.base: $(SOURCES) | $(RUN)
	$(PIP) --editable '.[test]'
	touch $@

$(VENV)/.dist: $(SOURCES) | $(RUN)
	$(PIP) build check-wheel-contents twine
	touch $@

$(VENV)/.audit: $(SOURCES) | $(RUN)
	$(PIP) pip-audit
	touch $@

$(RUN):
	$(PYTHON) -m venv $(VENV)
