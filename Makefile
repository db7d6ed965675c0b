# make lab                  JupyterLab with the course in the browser (Ctrl-C ends it)
# make lab PORT=9000        at a port of your choice
# make update               the newest version of the course; what you have changed is kept in mine/
# make execute              run every lecture notebook from a clean kernel and store its outputs
# make execute NB=01        only those whose names start with 01
# make homework             what students get, notebooks/homework/release, from the masters in source
# make handin WEEK=week2 NAME=Kim   check your notebook in notebooks/homework/mine, make it ready to send
# make grade                grade notebooks/homework/submitted/NAME/WEEK: a table, grades.csv, feedback pages
# make grade ALL=1          also what has not changed since the last time
# make grade ME=1           grade your own notebooks, notebooks/homework/mine: the weeks in a line
# make grade TRUST=1        without bubblewrap or a container to keep submissions apart: run them with your rights
# make check                lint and the quick tests, about a minute
# make test                 everything, for developers: also notebooks with training cut short, JupyterLab in a
#                           browser; about 15 minutes on two cores
# make bench                measure beside what people would use instead: a table, build/bench.md; about
#                           half an hour, on a machine that does nothing else
# make bench ONLY=metrics,geometry
#                           some parts, each below ten minutes: startup, explorers, geometry, metrics, training,
#                           speed, homework, site, notebooks12, notebooks34, notebooks56
# make bench UPDATE=1       also write the table into benchmarks/README.md
# make site                 the course as a web site in build/site; needs no torch
# make serve                the same, and shows it at http://127.0.0.1:8000/ (PORT=9000: at another port)
#
# Each of them first sets up .venv if it must. Variables, all optional:
#   PYTHON=python3.13       the Python that makes .venv
#   VENV=some/folder        another place for it
#   TORCH_INDEX=https://download.pytorch.org/whl/cpu
#                           a further package index for pip: this one has PyTorch without CUDA, about 200 MB in
#                           place of 3 GB, and is taken unasked on Linux without an NVIDIA GPU;
#                           https://pypi.org/simple has the one with CUDA

VENV = .venv
NB =
ALL =
ME =
TRUST =
PORT =
ONLY =
UPDATE =
PYTHON =
TORCH_INDEX =
export VENV PYTHON TORCH_INDEX

PY = "$(VENV)/bin/python"
FIRST = $(firstword $(wildcard notebooks/01_*.ipynb) README.md)

# What Jupyter, IPython and matplotlib remember stays in this folder, and the settings and kernels of your
# home cannot interfere, nor what PYTHONPATH and JUPYTER_PATH bring in. Not a hidden folder: browsers installed as
# snaps may not read those.
STATE = $(CURDIR)/build/jupyter
STATE_ENV = JUPYTER_CONFIG_DIR="$(STATE)/config" JUPYTER_DATA_DIR="$(STATE)/data" \
	JUPYTER_RUNTIME_DIR="$(STATE)/runtime" IPYTHONDIR="$(STATE)/ipython" MPLCONFIGDIR="$(STATE)/matplotlib"
export PYTHONPATH =
export PYTHONDONTWRITEBYTECODE =
export JUPYTER_PATH =
export JUPYTER_CONFIG_PATH =

.PHONY: help lab update test check bench execute homework handin grade lint setup setup-test site serve

help:
	@sed -n '/^$$/q; s/^# \{0,1\}//p' Makefile

setup:
	@sh tools/setup.sh

setup-test:
	@sh tools/setup.sh test

lab: setup
	@[ -z "$(PORT)" ] || { [ "$(PORT)" -ge 1 ] && [ "$(PORT)" -le 65535 ]; } 2>/dev/null || \
		{ echo "PORT=$(PORT) is no port: it is a number from 1 to 65535, say 9000." >&2; exit 1; }
	@$(STATE_ENV) $(PY) -m jupyterlab --config=tools/jupyter/jupyter_lab_config.py \
		$(if $(PORT),--port=$(PORT) --ServerApp.port_retries=0) \
		$$([ "$$(id -u)" != 0 ] || echo --allow-root) --LabApp.default_url=/lab/tree/$(FIRST)

update:
	@sh tools/update.sh

execute: setup
	@$(STATE_ENV) $(PY) tools/execute.py $(NB)

homework: setup
	@$(STATE_ENV) $(PY) tools/homework.py

handin: setup
	@$(PY) tools/handin.py "$(WEEK)" "$(NAME)"

grade: setup
	@$(STATE_ENV) $(PY) tools/grade.py $(if $(ALL),--all) $(if $(ME),--me) $(if $(TRUST),--trust)

lint: setup-test
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

check: lint
	@$(STATE_ENV) OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile --hypothesis-profile=quick \
		-m "not slow and not browser"

# Three files of tests at a time, a thread each, since some wait for a browser; in the order of tests/conftest.py.
test: lint
	@$(STATE_ENV) OMP_NUM_THREADS=1 $(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# Packages of the extra `bench` that do not install leave rows that say so.
bench: setup-test
	@$(PY) -c "import torchscan" 2>/dev/null || $(PY) -m pip install --quiet \
		--disable-pip-version-check --constraint constraints.txt --editable ".[bench]" || true
	@$(STATE_ENV) $(PY) benchmarks/bench.py --only "$(ONLY)" $(if $(UPDATE),--update)

site:
	@sh tools/site.sh

serve: site
	@echo "The site is at http://127.0.0.1:$(or $(PORT),8000)/ (Ctrl-C ends it)."
	@build/site-venv/bin/python -m http.server --bind 127.0.0.1 --directory build/site $(or $(PORT),8000) 2>/dev/null
