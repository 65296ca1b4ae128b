#!/bin/sh
# Installs the browser that the console's tests drive, unless there is one. It installs only with CI=true or --always.
# Without a browser, pytest skips those tests; with CI=true it fails them.
#
#   scripts/install-chromium.sh [--always]      Debian, as root
set -eu

if command -v chromium >/dev/null; then exit 0; fi
if [ "${CI:-}" != true ] && [ "${1:-}" != --always ]; then exit 0; fi

command -v apt-get >/dev/null || { echo "install-chromium.sh: this system has no apt-get; install Chromium yourself" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "install-chromium.sh: apt-get needs root" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core
