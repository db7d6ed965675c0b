#!/bin/sh
# Builds the site into build/site, or into the folder named: `make site`. Needs neither the course's environment nor
# torch: build/site-venv holds the extra `site` of pyproject.toml, build/npm what site/package.json names.
set -eu
cd "$(dirname "$0")/.."
venv=build/site-venv
python=$venv/bin/python
stamp=build/site-ready
wanted=$(cat pyproject.toml constraints.txt site/constraints.txt site/package.json site/precompile.mjs | cksum)

install() {
    "${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        { echo "Python 3.11 or newer is needed: make site PYTHON=python3.12, say." >&2; exit 1; }
    echo "Installing what the site is built with into $venv and build/npm (the first time about a minute)."
    [ -x "$python" ] || "${PYTHON:-python3}" -m venv "$venv"
    "$python" -c 'import tomllib
for line in tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["site"]: print(line)' \
        >build/site-requirements.txt
    "$python" -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt \
        --constraint site/constraints.txt --requirement build/site-requirements.txt
    mkdir -p build/npm
    cp site/package.json build/npm/
    npm install --prefix build/npm --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel error
    node site/precompile.mjs
    echo "$wanted" >"$stamp"
}

export PATH="$PWD/$venv/bin:$PATH" PYTHONPATH=tools SOURCE_DATE_EPOCH=1577836800 PYTHONHASHSEED=0
mkdir -p build
[ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && [ -x "$python" ] || install
"$python" -m sitebuild "${1:-build/site}"
