# Two commands matter: `make demo` and `make test`. Both install what they need into .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NEWEST := .venv-newest
# Two processes: each compiles and trains with threads of its own, and a machine of continuous integration has two cores.
SIDE_BY_SIDE := --numprocesses 2 --dist loadfile

# Sphinx, with warnings as errors, from what lies here: it fetches nothing.
SITE := build/site

.PHONY: install demo docs test test-full test-newest lint types bench study study-quick study-threads wheel clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[all]" --group dev
	@touch $@

demo: install
	$(BIN)/jasgd demo --out runs/demo --overwrite

docs: install
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -d build/doctrees docs $(SITE)
	@$(BIN)/python docs/_site/check_links.py $(SITE)
	@echo "The site is $(SITE)/index.html"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell jasgd theory tests benchmarks examples docs/*.md *.md
	$(BIN)/zizmor --offline --quiet .github

types: install
	$(BIN)/pyrefly check

test: install lint types docs test-newest
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

test-full: install
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "full or not full"

# The newest Python that this project is tested on; left out, with a word, where it is not installed.
test-newest:
	@tools/test_newest

bench: install
	$(BIN)/python benchmarks/throughput.py

# The study in steps of at most an hour, from the runs that are committed; docs/study.md is made of what is there.
study: install
	$(BIN)/python -m benchmarks.study run --minutes 55

# The whole study on two small cells, in at most five minutes.
study-quick: install
	$(BIN)/python -m benchmarks.study quick

# The same arms on threads; for a machine with many cores.
study-threads: install
	$(BIN)/python -m benchmarks.study threads --minutes 55

# A wheel for this platform, whose native rounds need no compiler; tools/try_wheel tries it as a user would.
wheel: install
	JASGD_PREBUILT=1 $(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) $(NEWEST) build docs/api runs dist .pytest_cache .ruff_cache .hypothesis
