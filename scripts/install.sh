#!/bin/sh
# Make or update a virtual environment: torch (requirements/torch.lock), the packages of requirements/LOCK.lock, and this
# project (editable).
# The Makefile and the Dockerfile both call it, from the repository root.
#
#   scripts/install.sh VENV LOCK      LOCK: run (service and training), dev (+ tests and linters), sentence (all)
#
# TORCH_INDEX says which build of torch a Linux machine gets; its last part names the build (cpu, cu130, ...).
# PYTHON is the Python that makes the environment.
set -eu

venv=$1
lock=requirements/$2.lock
index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}
index=${index%/}
build=${index##*/}
version=$(sed -n 's/^ *"torch==\([^"]*\)".*/\1/p' pyproject.toml)
[ -n "$version" ] || { echo "install.sh: pyproject.toml pins no torch" >&2; exit 1; }
[ -f "$lock" ] || { echo "install.sh: there is no $lock" >&2; exit 1; }

"${PYTHON:-python3}" -m venv "$venv"
# Bytecode is compiled at the end, on all cores at once: half the time that pip takes for it on two.
install() { "$venv/bin/python" -m pip install --disable-pip-version-check --no-compile "$@"; }

# A build is asked for by its full name ("2.13.0+cpu") and, but for GPUs, by its hash. PyPI holds no such names, so a CPU
# build that cannot be had is an error and never turns into the CUDA build with its gigabytes. macOS has one build, on
# PyPI, without a suffix.
install_torch() { install --no-deps --require-hashes -r requirements/torch.lock "$@"; }

case "$(uname -s) $build" in
  "Linux cpu")
    # pip's own configuration comes first: with a wheel at hand or a mirror, no other index is asked.
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    if ! install_torch 2>"$log"; then
      grep -q "No matching distribution found" "$log" || { cat "$log" >&2; exit 1; }
      install_torch --index-url "$index" || {
        echo "install.sh: no CPU build of torch $version for this Python, neither where pip looks nor at $index." >&2
        echo "Another place: TORCH_INDEX=<address that ends in /cpu>." >&2
        exit 1
      }
    fi
    ;;
  Linux*) install --extra-index-url "$index" "torch==$version+$build" ;; # with the GPU libraries that it names
  *) install_torch ;;
esac
install --quiet --require-hashes -r "$lock"
install --quiet --no-deps --no-build-isolation -e .
"$venv/bin/python" -m pip check

# Only speed is lost where a file does not compile (some packages ship templates that are no Python), as with pip.
"$venv/bin/python" -m compileall -qq -j 0 -x '/tests?/' "$venv/lib" || true
