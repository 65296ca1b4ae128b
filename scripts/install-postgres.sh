#!/bin/sh
# The PostgreSQL server that the tests start for themselves. Where one is installed this does nothing. Without
# CI=true or --always it installs nothing either: the tests that need a server are skipped then, in CI they fail.
#
#   scripts/install-postgres.sh [--always]      Debian and Ubuntu, as root
set -eu

for initdb in /usr/lib/postgresql/*/bin/initdb; do
  if [ -x "$initdb" ]; then exit 0; fi
done
if command -v initdb >/dev/null; then exit 0; fi
if [ "${CI:-}" != true ] && [ "${1:-}" != --always ]; then exit 0; fi

command -v apt-get >/dev/null || { echo "install-postgres.sh: no apt-get here; install PostgreSQL's server" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "install-postgres.sh: apt-get needs root" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends postgresql
