# Needs node (20 or later) and npm; everything else comes from package-lock.json.
NODE = node_modules/node-linux-$(ARCH)/bin/node
ARCH := $(shell uname -m | sed -e 's/x86_64/x64/' -e 's/aarch64/arm64/')
SOURCES := $(shell find cmd lib scripts/build.ts scripts/package -name '*.ts' 2>/dev/null) $(wildcard systemd/*) package.json

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{ printf "  make %-13s %s\n", $$1, $$2 }'

# A partly written node_modules must not count as installed: the stamp comes last.
node_modules/.installed: package.json package-lock.json
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: install-deps
install-deps: node_modules/.runs ## install the pinned npm packages, Node itself among them

# Apart from the above, so that a missing library does not install everything anew.
node_modules/.runs: node_modules/.installed
	@scripts/install-libatomic.sh $(NODE)
	@touch $@

dist/spegel: node_modules/.runs $(SOURCES)
	$(NODE) scripts/build.ts

.PHONY: build
build: dist/spegel ## build dist/spegel, one executable for this machine

.PHONY: release
release: node_modules/.runs ## build dist/spegel_<version>_linux_{amd64,arm64}.tar.xz and SHA256SUMS
	$(NODE) scripts/release.ts

.PHONY: demo
demo: dist/spegel ## several nodes here, one image pulled from peer to peer; no root, no containerd
	$(NODE) scripts/demo.ts

.PHONY: lab
lab: node_modules/.runs ## fetch and build what the tests on real containerd need, once per machine; make test does it too
	$(NODE) scripts/lab.ts

.PHONY: check
check: node_modules/.runs ## lint, types, and all tests that need nothing but Node, in two minutes: run it before a commit
	@$(MAKE) --no-print-directory --jobs --output-sync=target lint typecheck check-tests

.PHONY: check-tests
check-tests: node_modules/.runs
	$(NODE) scripts/test.ts --check

.PHONY: test
test: dist/spegel ## all tests this machine can run; as root on Debian also those on real containerd
	$(NODE) scripts/test.ts

.PHONY: attacks
attacks: dist/spegel ## liars among the peers and floods of strangers, a minute each: half an hour, as root on Debian
	ATTACK_SECONDS=60 $(NODE) scripts/test.ts $(wildcard test/attacks/*.test.ts)

# As variables: SEED=17 for the inputs of `make test`.
SECONDS = 60
SEED = random

.PHONY: fuzz
fuzz: node_modules/.runs ## each fuzzer for SECONDS=60, one at a time, with other inputs every time
	FUZZ_SECONDS=$(SECONDS) FUZZ_SEED=$(SEED) $(NODE) --test --test-concurrency=1 $(wildcard test/fuzz/*.test.ts)

.PHONY: lint
lint: node_modules/.runs ## format, and the conventions that a program can hold
	node_modules/.bin/biome check --error-on-warnings .
	$(NODE) scripts/lint.ts

.PHONY: typecheck
typecheck: node_modules/.installed ## check the types
	node_modules/.bin/tsc -p .

.PHONY: house
house: node_modules/.runs ## count what a reader has to hold: files on the five ways, exported names, constants
	$(NODE) scripts/house.ts

.PHONY: bench
bench: dist/spegel ## measure; prints ratios of things measured in the same run; an hour, half of it a soak
	$(NODE) scripts/bench.ts

.PHONY: bench-fetch
bench-fetch: dist/spegel ## measure parallel range fetching, and layers advertised early: an hour and a half, as root on Debian
	$(NODE) scripts/bench-parallel-fetch.ts
	$(NODE) scripts/bench-early-layers.ts

.PHONY: clean
clean: ## remove what was built and installed here
	rm -rf dist node_modules
