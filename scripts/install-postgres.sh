#!/bin/sh
# Installs the PostgreSQL server that the tests start, unless there is one. It installs only with CI=true or --always.
# Without a server, pytest skips the tests that need one; with CI=true it fails them.
#
#   scripts/install-postgres.sh [--always]      Debian and Ubuntu, as root
set -eu

for initdb in /usr/lib/postgresql/*/bin/initdb; do
  if [ -x "$initdb" ]; then exit 0; fi
done
if command -v initdb >/dev/null; then exit 0; fi
if [ "${CI:-}" != true ] && [ "${1:-}" != --always ]; then exit 0; fi

command -v apt-get >/dev/null || { echo "install-postgres.sh: this system has no apt-get; install PostgreSQL's server yourself" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "install-postgres.sh: apt-get needs root" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends postgresql
