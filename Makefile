# Recipes only name commands; anything longer is a subcommand of kura or a script.
export CARGO_TARGET_DIR ?= $(CURDIR)/target
export KURA_MODELS_DIR ?= $(HOME)/.cache/kura/models
export KURA_BIN ?= $(CARGO_TARGET_DIR)/release/kura
export KURA_TEST_VENV ?= $(HOME)/.cache/kura/test-venv
# Recorded with every evaluation.
export KURA_GIT_COMMIT := $(shell git describe --always --abbrev=40 --dirty 2>/dev/null)

.PHONY: demo stop test nightly check fmt web build models models-test openapi deps deps-test cuda supply-chain sbom release

## Installs, fetches models, builds, indexes the sample handbook, answers two questions, leaves the server up.
demo: deps models
	deploy/demo.sh start

## Stops the server that `make demo` left up.
stop:
	deploy/demo.sh stop

## Everything: unit, property, parity and integration tests, official clients, a real browser.
test: deps-test models-test
	tests/run.sh

## The long runs: 50,000 questions and every command about what is not for the asker, 500 losses under load, two minutes of
## ten times as much as can be done, 20,000 cases of the API; prints figures.
nightly: deps-test models-test
	KURA_TEST_QUERIES=50000 KURA_TEST_REVOCATIONS=500 KURA_TEST_OVERLOAD_SECS=120 \
		cargo test --release --workspace --test it -- --nocapture --test-threads=1 --include-ignored canaries revocation overload
	KURA_TEST_CASES=20000 tests/clients/run.sh -s -k schemathesis

## Formatting and lints, warnings as errors.
check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	deploy/web.sh check

fmt:
	cargo fmt --all

## The page, built into web/dist, which the binary embeds.
web:
	deploy/web.sh

build: web
	cargo build --release --workspace

## The demo's models.
models: build
	$(KURA_BIN) models --dir $(KURA_MODELS_DIR) pull multilingual-e5-small qwen2.5-coder-1.5b-instruct

## Those of the tests.
models-test: build
	$(KURA_BIN) models --dir $(KURA_MODELS_DIR) pull multilingual-e5-small all-minilm-l6-v2 smollm2-135m-instruct qwen2.5-coder-1.5b-instruct

## Writes the API's description to the snapshot that the page's client types are generated from.
openapi: build
	$(KURA_BIN) openapi > tests/it/snapshots/openapi.json
	deploy/web.sh schema

## System packages: compiler and Python's package client; for the tests also Chromium and a Japanese font.
deps:
	deploy/deps.sh run

deps-test:
	deploy/deps.sh test

## One binary for machines with and without an NVIDIA GPU. Needs no GPU to build; see docs/GPU.md.
cuda: web
	deploy/cuda.sh

## Licenses, bans and sources of all dependencies (deny.toml); with KURA_ADVISORY_DB=DIR known vulnerabilities, too.
supply-chain:
	deploy/supply-chain.sh check

## Bills of materials (CycloneDX) of the binary and of the page.
sbom:
	deploy/supply-chain.sh sbom

## The binary with the list of its crates inside, for `cargo audit bin`.
release: web
	deploy/supply-chain.sh release
