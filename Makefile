# Each target sets up what it needs first (scripts/setup: packages by apt, .venv, eBPF objects), in under a second when
# all is there. Under sudo the checkout's files stay the calling user's.

PYTEST =
KERNELS =
BENCH =

.PHONY: build demo test test-kernels check bench clean help

build: ## leave .venv/bin/plainwire ready to run
	@scripts/setup build

demo: ## capture a real HTTPS exchange on this machine and show its plaintext (needs root)
	@scripts/setup demo
	@scripts/keep-owner .venv/bin/python demo/demo.py

test: ## run all tests (those of eBPF need root); PYTEST='tests/cli -x' passes arguments on
	@scripts/test $(PYTEST)

test-kernels: ## test on other kernels too, emulated, and tell in docs/kernels.md (needs root, takes half an hour)
	@scripts/setup test
	@scripts/keep-owner nice .venv/bin/python -m tests.vm.run_selection $(KERNELS)

check: ## ruff, mypy --strict, clang-format, import-linter
	@scripts/setup check
	@scripts/keep-owner scripts/check

bench: ## measure (as root); BENCH='cost nginx' names some; docs/benchmarks.md has figures
	@scripts/setup bench
	@scripts/keep-owner .venv/bin/python -m bench $(BENCH)

clean: ## remove what was built, .venv too
	rm -rf .venv src/plainwire/bpf_objects src/plainwire/kernel/_lib*.py .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile
