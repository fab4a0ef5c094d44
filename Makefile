# One-line verbs. `make` alone says what there is.
# ARGS goes to the program: make demo ARGS=--exit

# Build output stays outside the tree unless you say otherwise.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/probity/target

CARGO ?= cargo
ARGS ?=

# What is measured is built as for a release, which takes its time; what measures is not.
BUILD_MEASURED = $(CARGO) build --profile dist -p probity-cli && $(CARGO) build --release -p probity-tests --bins
MEASURED = PROBITY_BINARIES="$(CARGO_TARGET_DIR)/dist"

.DEFAULT_GOAL := help
.PHONY: help demo test check coverage bench bench-cases bench-workflows bench-queue bench-growth bench-doors bench-observability load fuzz soak images deploy-check deploy-tools api-check deny prerequisites \
	release-ready programs sbom chart changelog push-images sign verify-release release-check

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Build, start the platform, open the samples and show them being decided (ARGS=--exit ends when all are)
	$(CARGO) build --release -p probity-cli
	"$(CARGO_TARGET_DIR)/release/probity" demo $(ARGS)

test: prerequisites ## Install what tests need, run every test, then every check
	$(CARGO) build --workspace --bins
	$(CARGO) build -p probity-orchestrator --features trial --bin probity-orchestrator-trial
	$(CARGO) test --workspace
	PROFILE=debug ./scripts/api-check --phases examples
	$(CARGO) run --quiet -p xtask -- check

check: ## Formatting, tidiness, layers, error pages, contracts, clippy
	$(CARGO) run --quiet -p xtask -- check $(ARGS)

coverage: prerequisites ## Lines that the tests run, by crate and by role; fails under the bounds (ARGS="-p probity-resilience", --resume, --report)
	rustup component add llvm-tools
	$(CARGO) run --quiet -p xtask -- coverage $(ARGS)

bench: ## Measure cases per second and memory on this machine
	$(BUILD_MEASURED)
	$(MEASURED) "$(CARGO_TARGET_DIR)/release/bench" $(ARGS)

bench-workflows: ## Our workflows and Restate's, one after the other, with the same driver (ARGS=--quick to try it)
	$(BUILD_MEASURED)
	$(MEASURED) "$(CARGO_TARGET_DIR)/release/bench-workflows" $(ARGS)

bench-queue: ## The task queue beside BullMQ and asynq, a backlog, timers that are due at once
	$(BUILD_MEASURED)
	$(MEASURED) "$(CARGO_TARGET_DIR)/release/bench-queue" $(ARGS)

bench-growth: ## Does an execution cost the same with a million stored? (ARGS="--store postgres --hold 10" also beside an open transaction)
	$(BUILD_MEASURED)
	$(MEASURED) "$(CARGO_TARGET_DIR)/release/bench-growth" $(ARGS)

bench-doors: ## Reads of 100 users, health checks, and calls beside 1,000 idle and 1,000 slow connections
	$(BUILD_MEASURED)
	$(MEASURED) "$(CARGO_TARGET_DIR)/release/bench-doors" $(ARGS)

bench-observability: ## What spans, metrics and an exporter cost, against a platform that is not observed (needs jaeger)
	$(BUILD_MEASURED)
	$(MEASURED) "$(CARGO_TARGET_DIR)/release/bench-observability" $(ARGS)

bench-cases: bench ## Whole cases of the generator's mix through the gateway (the same as bench)

load: ## Executions at a fixed rate, 1,000 in flight, while a peer breaks: acknowledgements, errors, memory
	$(BUILD_MEASURED)
	$(MEASURED) "$(CARGO_TARGET_DIR)/release/bench-load" $(ARGS)

fuzz: ## Every parser of outside bytes under libFuzzer, ten minutes each (ARGS="60 cel filter" for a minute of two)
	./scripts/fuzz $(ARGS)

soak: prerequisites ## The fault matrix at full length, and a table of what came of it (ARGS=6 for one row; PREVIOUS=v1.2.0 for row 27)
	$(CARGO) build --release --workspace --bins
	$(CARGO) build --release -p probity-orchestrator --features trial --bin probity-orchestrator-trial
	$(if $(PREVIOUS),PROBITY_PREVIOUS="$$(./scripts/earlier-release $(PREVIOUS))") $(CARGO) run --release -q -p probity-tests --bin soak -- $(ARGS)

api-check: ## Schemathesis, all checks, against a platform of its own (ARGS=--max-examples=100)
	$(CARGO) build --release -p probity-cli
	./scripts/api-check $(ARGS)

images: ## An image for every service and one for the command line (needs docker; ENGINE=podman for another)
	@awk '$$1 == "-" && $$2 == "name:" {print $$3} END {print "cli"}' deploy/helm/probity/files/platform.yaml | while read -r service; do \
		$(or $(ENGINE),docker) build -f deploy/docker/Dockerfile --build-arg SERVICE=$$service \
			--build-arg REVISION=$$(git rev-parse HEAD) -t probity-$$service . || exit 1; done

deploy-check: ## Chart, mesh, alerts, dashboards, images; with KUBECONFIG and LOAD a whole cluster (ARGS="values alerts" for some)
	deploy/check/run $(ARGS)

deploy-tools: ## Install what deploy-check needs and this machine lacks, or say what to install
	deploy/check/tools

# A release, step by step; the files gather in ARTIFACTS. docs/deployment/release.md says what each is for.
ARTIFACTS ?= $(CARGO_TARGET_DIR)/artifacts
XTASK = $(CARGO) run --quiet -p xtask --

release-ready: ## Do version, chart and changelog agree with the tag? (VERSION=v0.2.0, else the version of the sources)
	$(XTASK) release $(VERSION) --check

programs: ## The programs as they are released, packed
	$(CARGO) build --locked --profile dist --workspace --bins
	deploy/release/programs "$(CARGO_TARGET_DIR)/dist" "$(ARTIFACTS)"

sbom: ## What each program and its image is made of, as CycloneDX 1.6
	rm -rf "$(CARGO_TARGET_DIR)/roots"
	deploy/docker/roots "$(CARGO_TARGET_DIR)/dist" "$(CARGO_TARGET_DIR)/roots"
	$(XTASK) sbom --out "$(ARTIFACTS)" --roots "$(CARGO_TARGET_DIR)/roots"

chart: ## The chart, packed
	deploy/release/chart "$(ARTIFACTS)"

changelog: ## What changed in this version (VERSION=Unreleased for what comes next)
	@mkdir -p "$(ARTIFACTS)"
	$(XTASK) release $(VERSION) > "$(ARTIFACTS)/changes.md"
	@cat "$(ARTIFACTS)/changes.md"

push-images: ## The images of `make images` into REGISTRY, and their digests into images.txt
	deploy/release/push "$(REGISTRY)" "$(ARTIFACTS)"

sign: ## Hashes of everything in ARTIFACTS, signed with the OpenSSH key RELEASE_KEY
	deploy/release/sign "$(ARTIFACTS)" "$(RELEASE_KEY)"

verify-release: ## Is everything in ARTIFACTS as a key of deploy/release/allowed_signers signed it?
	deploy/release/verify "$(ARTIFACTS)"

release-check: ## Make a release of the programs there are, sign it with a throwaway key, try forgeries
	deploy/check/run release

deny: ## Licences, banned crates, sources and advisories of every dependency (needs cargo-deny)
	$(CARGO) deny check

prerequisites: ## Look for what tests need and install it, or say what to install
	@./scripts/install-prerequisites
