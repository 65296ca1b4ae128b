#!/bin/sh
# Makes or updates a virtual environment: torch (requirements/torch.lock), the packages of requirements/LOCK.lock, and
# this project (editable). The Makefile and the Dockerfile call it from the repository root.
#
#   scripts/install.sh VENV LOCK      LOCK: run (service and training), dev (+ tests and linters), sentence (all)
#
# TORCH_INDEX selects the build of torch for a Linux machine; its last part names the build (cpu, cu130, ...).
# PYTHON makes the environment.
set -eu

venv=$1
lock=requirements/$2.lock
index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}
index=${index%/}
build=${index##*/}
version=$(sed -n 's/^ *"torch==\([^"]*\)".*/\1/p' pyproject.toml)
[ -n "$version" ] || { echo "install.sh: pyproject.toml pins no torch" >&2; exit 1; }
case $2 in
  run) extras=serve,postgres,train ;;
  dev) extras=dev ;;
  sentence) extras=dev,sentence ;;
  *) echo "install.sh: LOCK is run, dev or sentence, not $2" >&2; exit 1 ;;
esac

"${PYTHON:-python3}" -m venv "$venv"
# The end of this script compiles bytecode on all cores at once. On two cores pip would take twice as long for it.
install() { "$venv/bin/python" -m pip install --disable-pip-version-check --no-compile "$@"; }

# This asks for a build by its full name ("2.13.0+cpu") and, except for GPUs, by its hash. PyPI has no such names, so a
# missing CPU build is an error and never becomes the CUDA build with its gigabytes. macOS has one build, on PyPI,
# without a suffix.
install_torch() { install --no-deps --require-hashes -r requirements/torch.lock "$@"; }

case "$(uname -s) $build" in
  "Linux cpu")
    # pip's own configuration comes first: with a local wheel or a mirror, pip asks no other index.
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    if ! install_torch 2>"$log"; then
      grep -q "No matching distribution found" "$log" || { cat "$log" >&2; exit 1; }
      install_torch --index-url "$index" || {
        echo "install.sh: found no CPU build of torch $version for this Python, neither with pip's settings nor at $index." >&2
        echo "Name another index: TORCH_INDEX=<address that ends in /cpu>." >&2
        exit 1
      }
    fi
    ;;
  Linux*) install --extra-index-url "$index" "torch==$version+$build" ;; # with the GPU libraries that it names
  *) install_torch ;;
esac
install --quiet --require-hashes -r "$lock"
# With no index to ask, this fails if the lock lacks a package that pyproject.toml names for these extras, or has another
# version of it.
install --quiet --no-index --no-build-isolation -e ".[$extras]"
"$venv/bin/python" -m pip check

# A file that does not compile costs only speed, as with pip: some packages ship templates that are not Python.
"$venv/bin/python" -m compileall -qq -j 0 -x '/tests?/' "$venv/lib" || true
