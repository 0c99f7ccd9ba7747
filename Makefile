# `make demo`, `make test` and `make docs` set everything up by themselves; .venv and build are all they leave.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin
PACKAGES := .venv/.packages
READY := .venv/.ready
NATIVE := $(wildcard native/*.cpp native/*.h)
FOLDERS := $(shell find src/unroll -type d -not -name __pycache__)
FORMATTED := $(NATIVE) $(wildcard native/tests/*.cpp native/tests/*.h)

# 0 goes on without the compiled kernels where they cannot be built.
export UNROLL_REQUIRE_KERNELS ?= 1

.PHONY: demo test quick docs check format sanitize clean

demo: $(READY)
	$(BIN)/unroll demo

# As many processes as there are cores, each test on one thread.
test: check
	$(BIN)/pytest -q -n auto

# Under a minute: no data sets, no processes, nothing compiled.
quick: $(READY)
	$(BIN)/pytest -q -n auto -m "not slow and not data"

# The site, in build/site. A broken link or an unknown name in the reference is an error.
docs: $(PACKAGES)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/clang-format --dry-run --Werror $(FORMATTED)

format: $(PACKAGES)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(FORMATTED)

# The kernels without Python, under the address and undefined-behaviour sanitizers.
sanitize: $(PACKAGES)
	$(BIN)/cmake -S . -B build/sanitize -DUNROLL_SANITIZE=ON
	$(BIN)/cmake --build build/sanitize --target native_test --parallel 2
	build/sanitize/native_test

$(PACKAGES): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --group dev
	touch $@

# Without isolation, so that what is already compiled is found again. The folders change when a module is added,
# moved or removed: an editable install remembers where each was.
$(READY): $(PACKAGES) CMakeLists.txt $(NATIVE) $(FOLDERS)
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable .
	touch $@

clean:
	rm -rf .venv build runs .pytest_cache .ruff_cache
