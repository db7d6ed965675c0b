#!/bin/sh
# Makes, completes or repairs the virtual environment: `tools/setup.sh` for the course, `tools/setup.sh test`
# with what the tests need. Does nothing where the last call succeeded with the same files in the same folder.
# VENV, PYTHON and TORCH_INDEX are explained in the Makefile.
set -eu
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}
extra=${1:-}
stamp=$venv/.course-ready
wanted="$(cat pyproject.toml constraints.txt | cksum) in $PWD"

fail() {
    echo "$1" >&2
    exit 1
}

is_ready() { # test implies the rest
    [ -f "$stamp" ] && [ "$(sed -n 1p "$stamp")" = "$wanted" ] || return 1
    [ -z "$extra" ] || [ "$(sed -n 2p "$stamp")" = "$extra" ] || return 1
    "$venv/bin/python" -c '' 2>/dev/null
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    without_venv=
    for python in ${PYTHON:-python3.12 python3.13 python3.11 python3.14 python3 python}; do
        is_new_enough "$python" || continue # some that are on PATH only say that they are not installed
        "$python" -c 'import ensurepip, venv' 2>/dev/null && return 0
        without_venv=${without_venv:-$python}
    done
    [ -z "$without_venv" ] || fail "$without_venv has no venv module: install it (on Debian and Ubuntu: \
apt install python3-venv), then call make again."
    [ -z "${PYTHON:-}" ] || fail "PYTHON=$PYTHON is not Python 3.11 or newer."
    fail "Python 3.11 or newer is needed and none was found: install it (python.org, apt or brew), then call \
make again."
}

has_pip() { "$venv/bin/python" -c 'import sys, pip._internal; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

remove_broken() { # only a folder that is ours or that says it is a virtual environment
    [ "$venv" = .venv ] || [ -f "$venv/pyvenv.cfg" ] ||
        fail "VENV=$venv is there and is no virtual environment: name another folder or move it away."
    echo "$venv is broken or was left half made: making it anew."
    rm -rf "$venv"
}

is_ready && exit 0
[ ! -e "$venv" ] || has_pip || remove_broken
if [ ! -e "$venv" ]; then
    find_python
    echo "Making $venv with $("$python" --version)."
    "$python" -m venv "$venv"
fi
rm -f "$stamp"
"$venv/bin/python" tools/mend.py
echo "Installing the course's packages into $venv (the first time this takes a few minutes)."
"$venv/bin/python" -m pip install --disable-pip-version-check --constraint constraints.txt \
    ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} --editable ".${extra:+[$extra]}" ||
    fail "The installation did not finish (see above): call make again, it goes on where it stopped."
printf '%s\n%s\n' "$wanted" "$extra" >"$stamp.part"
mv "$stamp.part" "$stamp"
