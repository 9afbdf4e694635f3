# `make` alone prints what there is.

SHELL := /bin/bash
export PATH := $(PATH):$(HOME)/.cargo/bin
CARGO ?= cargo
IMAGE ?= debian-mini
PREFIX ?= /usr/local
DESTDIR ?=
IMGFORGE := target/release/imgforge
# A slow registry of crates is asked again.
export CARGO_NET_RETRY ?= 10
# Whoever types make here runs what is here, whoever owns the checkout.
export IMGFORGE_TRUST ?= $(CURDIR)

.DEFAULT_GOAL := help
.PHONY: audit help deps deps-test build test test-vm proofs e2e e2e-install e2e-clouds lint demo bench install deb clean docs check-docs docs-site fuzz

help: ## Prints this list
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | sort | \
	  awk -F '\t' '{printf "  make %-11s %s\n", $$1, $$2}'

deps: ## Installs what building and running imgforge needs
	@scripts/deps.sh run build

deps-test: ## Installs what the tests need, too
	@scripts/deps.sh

build: ## Builds the program: target/release/imgforge
	$(CARGO) build --release --locked

demo: demo-notice deps build ## Builds and publishes an image below demo/ (IMAGE=debian-mini)
	@scripts/demo.sh "$(IMAGE)"

.PHONY: demo-notice
demo-notice:
	@scripts/demo.sh --notice "$(IMAGE)"

test: deps-test ## Runs the tests
	@scripts/proofs.py test

test-vm: deps-test ## Runs the long tests, most of which start virtual machines
	@scripts/proofs.py run vm long

proofs: ## Tells when each long test passed last, and what changed since
	@scripts/proofs.py

e2e: deps-test build ## Runs the longest tests, then builds and boots the shipped recipes for real
	@scripts/deps.sh e2e
	@scripts/proofs.py run e2e images

e2e-install: deps-test build ## Installs Debian by its own installer for real, twice, and boots it (an hour)
	@scripts/proofs.py run "install debian-base"

e2e-clouds: deps-test ## Makes and publishes targets for real, and keeps a real Glance (200 packages)
	@scripts/deps.sh clouds
	@scripts/proofs.py run clouds

lint: deps-test check-docs ## Checks format, lints, scripts and generated documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	shellcheck scripts/*.sh findings/*.sh src/guest/appliance/*.sh src/host/*.sh src/hypervisor/*.sh .ci/run
	shellcheck -s sh firstboot/*.sh tests/it/support/*.sh src/runner/guest/*.sh src/runner/guest/*/*.sh src/steps/*.sh src/steps/grow/*.sh src/stage/install/bootstrap/*.sh src/targets/ramdisk/*.sh src/deploy/medium/*.sh
	scripts/prose.py check
	scripts/pages.py check $(or $(CARGO_TARGET_DIR),target)/debug/imgforge
	scripts/pages.py run $(or $(CARGO_TARGET_DIR),target)/debug/imgforge
	scripts/proofs.py check
	scripts/planted-faults.py check

audit: ## Checks licences, versions, sources and advisories of the crates (deny.toml)
	@scripts/deps.sh audit
	@scripts/audit.sh

docs: ## Generates the parts of docs/ that derive from the types
	@scripts/docs.sh write

check-docs: ## Checks that the generated parts of docs/ are current
	@scripts/docs.sh check

docs-site: ## Builds the docs as a site below target/site, for any static server or as files
	@scripts/site.sh

bench: deps-test build ## Runs the benchmarks
	@scripts/proofs.py run bench

install: build ## Installs below PREFIX=/usr/local (DESTDIR= for packages)
	@scripts/install.sh "$(DESTDIR)" "$(PREFIX)" $(IMGFORGE)

deb: build ## Builds dist/imgforge_VERSION_ARCH.deb
	@scripts/deb.sh $(IMGFORGE)

fuzz: deps-test ## Gives every parser of foreign data whatever libFuzzer makes up, TIME=60 s of processor each
	@scripts/fuzz.sh "$(or $(TIME),60)" $(TARGETS)

clean: ## Removes what was built; demo/ stays
	$(CARGO) clean
	rm -rf dist
