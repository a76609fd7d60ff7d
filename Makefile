# Every target installs what it needs into .venv, from requirements.lock (hashes checked).
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
# One more than there are processors: many tests wait, for servers, signals and deadlines.
WORKERS ?= $(shell echo $$(($$(nproc) + 1)))
# Without bytecode every process of the tests would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

.venv/.installed: requirements.lock pyproject.toml localcloud/pyproject.toml tools/venv.sh
	@tools/venv.sh $(PYTHON)
	@touch $@

venv: .venv/.installed  ## the virtual environment with everything in it

demo: venv  ## cost reports travel from a local OCI to a local S3
	@$(BIN)/keepstep demo

test: venv lint  ## everything CI runs
	@tools/debian.sh
	@tools/database-servers.sh mysql
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

check: venv  ## one test, with the servers that it needs: make check TEST="tests/contract/test_databases.py -k mysql"
	@tools/debian.sh
	@case "$(TEST)" in *databases*|*rotation*|*doctor*) tools/database-servers.sh mysql;; esac
	$(BIN)/python -m pytest $(or $(TEST),$(error name a test, such as make check TEST=tests/objects/test_plan.py))

test-databases: venv  ## the databases' tests on every server: MySQL, two releases of PostgreSQL and of MariaDB
	@tools/debian.sh
	@tools/database-servers.sh
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "long or not long" \
	  tests/contract/test_databases.py tests/databases tests/doctor/test_rotation.py

test-long: venv  ## the tests that make test leaves out to stay short: daemon, image, logins under fire, the aws CLI ...
	@tools/database-servers.sh
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m long

coverage: venv  ## the tests, and which lines they did not reach (takes a third longer)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --cov --cov-report=term

test-secrets-full: venv  ## secrets: killed also at the calls that change nothing (about a minute)
	FULL=1 $(BIN)/python -m pytest -n auto tests/secrets/test_kills.py

test-rotation-full: venv  ## rotation: the whole model, kills of every strategy, 200 rotations under fire (an hour)
	FULL=1 $(BIN)/python -m pytest -q tests/rotation -m "long or not long" --timeout 7200

test-mutants: venv  ## would a test notice? deciding code, changed one place at a time (MODULES="rotation/rows"; an hour)
	nice $(BIN)/python -m tests.mutants $(MODULES)

test-soak: venv  ## the daemon's scheduler and alerts: two simulated weeks, fifty jobs, faults
	$(BIN)/python -m tests.schedules.soak

test-deploy-full: venv  ## deployments: every image built from Debian and run, modules applied to a local AWS (half an hour)
	@tools/debian.sh
	FULL=1 $(BIN)/python -m pytest -m "long or not long" --timeout 1800 tests/deploy

test-bare:  ## the README's commands on a new Debian: debootstrap, an ordinary clone, make demo, make test (ten minutes)
	tools/bare.sh

test-daemon-soak: venv  ## real daemons on a real PostgreSQL under faults, for two hours (MINUTES=5: in short)
	$(BIN)/python -m tests.hosts.soak --minutes $(or $(MINUTES),120)

lint: venv  ## ruff, mypy strict, the picture of the layers
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache | tail -n 4

format: venv  ## mends what ruff can mend
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --quiet --fix .

test-sync-soak: venv  ## 100,000 objects from OCI to S3, one request in a hundred goes wrong (about twenty minutes)
	SOAK=100000 $(BIN)/python -m pytest -q tests/cli/test_soundness.py -k soak --timeout 7200

test-differential: venv  ## thousands of syncs, each by keepstep and by the aws CLI: the same, or it says where not
	$(BIN)/python -m tests.differential

test-listings: venv  ## listings: 100,000 mutated documents for each reader, thousands of syncs against a model (minutes)
	$(BIN)/python -m tests.stores.readers
	$(BIN)/python -m tests.model
fuzz-http: venv  ## a hundred thousand answers, cut and twisted at every offset, against the HTTP client (two minutes)
	$(BIN)/python -m tests.clouds.fuzz_http

compatibility: venv  ## whole syncs on every S3 server of the tests; writes docs/compatibility.md
	$(BIN)/python -m tests.matrix

test-stores: venv  ## the same on S3rver and Ceph RGW too, and through every simulated store and network (ten minutes)
	@tools/debian.sh
	FULL=1 $(BIN)/python -m tests.matrix
	$(BIN)/python -m pytest -n 2 -m "long or not long" tests/matrix/test_twisted.py

bench: venv  ## side by side with rclone, s5cmd and the aws CLI
	$(BIN)/python -m bench

lock: venv  ## resolves requirements.lock anew
	$(BIN)/uv pip compile --quiet --upgrade pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-package keepstep-localcloud --no-header --no-annotate \
	  -o requirements.lock

clean:  ## forgets the virtual environment and every cache
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage* htmlcov

# Every documented target; none is a file.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' $(MAKEFILE_LIST))
