#!/bin/sh
# The browser that the tests of the console drive. Where there is one this does nothing. Without CI=true or --always it
# installs nothing either: those tests are skipped then, in CI they fail.
#
#   scripts/install-chromium.sh [--always]      Debian, as root
set -eu

if command -v chromium >/dev/null; then exit 0; fi
if [ "${CI:-}" != true ] && [ "${1:-}" != --always ]; then exit 0; fi

command -v apt-get >/dev/null || { echo "install-chromium.sh: no apt-get here; install Chromium" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "install-chromium.sh: apt-get needs root" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core
