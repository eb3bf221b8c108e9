# What a person does here, one word each. `make` or `make help` lists them.
#
#   PREFIX   where `make install` puts things         (default /usr/local)
#   DESTDIR  put in front of it, for packagers        (default empty)
#   MINUTES  how long `make soak` and `make fuzz` go on (default 30)

PREFIX ?= /usr/local
DESTDIR ?=
MINUTES ?= 30
CARGO ?= cargo

PROGRAMS := scream-rx frame-rx rx-bench
BIN := $(DESTDIR)$(PREFIX)/bin
SHARE := $(DESTDIR)$(PREFIX)/share
RELEASE := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)/release

.DEFAULT_GOAL := help
.PHONY: help run test testsinks build bench bench-check soak fuzz install uninstall packages-run packages-test rust

help: ## this list
	@echo "Sound and picture of a virtual machine, out of shared memory."
	@echo
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile | expand -t 18
	@echo
	@echo "run and test install what they need: they show it first, and ask through sudo unless you are root."

run: rust ## build everything and see it work: a picture and a sound, no virtual machine needed
	@scripts/packages.sh install build run
	$(CARGO) build --release --workspace
	@scripts/demo.sh $(RELEASE)

test: rust ## run every check: lints, unit tests, real servers, a real virtual machine (40 minutes the first time)
	@scripts/packages.sh install build run test
	@scripts/test.sh

testsinks: rust ## check the JACK and PipeWire sinks too, which are not built by default (300 MB of packages)
	@scripts/packages.sh install build test sinks
	$(CARGO) clippy -p scream-rx --features jack,pipewire --all-targets --quiet -- -D warnings
	CI=true $(CARGO) test -p scream-rx --features jack,pipewire

build: rust ## only build the programs, into target/release
	$(CARGO) build --release --workspace

bench: rust ## measure (7 minutes): tables here, benches/results/latest.*, README's numbers, docs/*.svg, out/bench.html to look at
	@scripts/packages.sh install build bench
	@mkdir -p out benches/results
	$(CARGO) build --release --workspace
	$(RELEASE)/rx-bench run --json benches/results/latest.json --markdown benches/results/latest.md --svg benches/results --html out/bench.html
	@scripts/bench-readme.sh $(RELEASE)

bench-check: rust ## measure what is the same on every machine, and fail if it got worse (needs seconds)
	@scripts/packages.sh install build
	$(CARGO) build --release --workspace
	@scripts/bench-check.sh $(RELEASE)

soak: rust ## repeat the random tests (new seeds) and those with a virtual machine for MINUTES
	@scripts/packages.sh install build run test
	@scripts/soak.sh $(MINUTES)

fuzz: rust ## let a fuzzer look for bytes that upset what reads foreign ones, for MINUTES
	@scripts/packages.sh install build
	@scripts/fuzz.sh $(MINUTES)

install: ## put programs, manual pages, completions, units and rules under PREFIX (after `make build`)
	@scripts/install.sh install "$(DESTDIR)" "$(PREFIX)" "$(RELEASE)"

uninstall: ## take away again what `make install` put there
	@scripts/install.sh uninstall "$(DESTDIR)" "$(PREFIX)" "$(RELEASE)"

rust:
	@scripts/rust.sh
