#!/bin/sh
# Makes, completes or repairs the virtual environment: `tools/setup.sh` for the course, `tools/setup.sh test`
# with what the tests need. Does nothing where the last call succeeded with the same files in the same folder.
# VENV, PYTHON and TORCH_INDEX are explained in the Makefile.
set -eu
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}
extra=${1:-}
stamp=$venv/.course-ready
cpu_index=https://download.pytorch.org/whl/cpu
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

check_mac() { # PyTorch has packages for no other Macs
    [ "$(uname -s)" = Darwin ] || return 0
    [ "$(uname -m)" = arm64 ] && [ "$(sw_vers -productVersion | cut -d. -f1)" -ge 14 ] ||
        fail "PyTorch comes for Macs with Apple silicon and macOS 14 or newer only; this is macOS \
$(sw_vers -productVersion) on $(uname -m)."
}

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

has_gpu() { nvidia-smi -L >/dev/null 2>&1 || [ -e /proc/driver/nvidia/version ] || [ -e /dev/nvidia0 ]; }

cpu_index_has_torch() { # the version of constraints.txt, for this Python
    "$venv/bin/python" -m pip index versions torch --index-url "$cpu_index" --timeout 3 --retries 0 2>/dev/null |
        grep -q "[ (]$(sed -n 's/^torch==//p' constraints.txt)+cpu"
}

torch_version() { "$venv/bin/python" -c 'import importlib.metadata as m; print(m.version("torch"))' 2>/dev/null; }

choose_torch() { # pip's default is without CUDA everywhere but on Linux with an Intel or AMD processor
    [ -z "${TORCH_INDEX:-}" ] && [ "$(uname -s) $(uname -m)" = "Linux x86_64" ] || return 0
    if installed=$(torch_version); then # torchvision goes with the kind of torch that is there
        case $installed in *+cpu) TORCH_INDEX=$cpu_index ;; esac
    elif has_gpu; then
        echo "There is an NVIDIA GPU: taking PyTorch with CUDA (about 3 GB; TORCH_INDEX=$cpu_index has 200 MB)."
    elif cpu_index_has_torch; then
        TORCH_INDEX=$cpu_index
        echo "There is no NVIDIA GPU: taking PyTorch without CUDA from $cpu_index (about 200 MB)."
    else
        echo "There is no NVIDIA GPU, but $cpu_index gives no answer: taking pip's PyTorch with CUDA (about 3 GB)."
    fi
}

remove_broken() { # only a folder that is ours or that says it is a virtual environment
    [ "$venv" = .venv ] || [ -f "$venv/pyvenv.cfg" ] ||
        fail "VENV=$venv is there and is no virtual environment: name another folder or move it away."
    echo "$venv is broken or was left half made: making it anew."
    rm -rf "$venv"
}

is_ready && exit 0
check_mac
[ ! -e "$venv" ] || has_pip || remove_broken
if [ ! -e "$venv" ]; then
    find_python
    echo "Making $venv with $("$python" --version)."
    "$python" -m venv "$venv"
fi
rm -f "$stamp"
"$venv/bin/python" tools/mend.py
choose_torch
echo "Installing the course's packages into $venv (the first time this takes a few minutes)."
"$venv/bin/python" -m pip install --disable-pip-version-check --constraint constraints.txt \
    ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} --editable ".[lab${extra:+,$extra}]" ||
    fail "The installation did not finish (see above): call make again, it goes on where it stopped."
printf '%s\n%s\n' "$wanted" "$extra" >"$stamp.part"
mv "$stamp.part" "$stamp"
