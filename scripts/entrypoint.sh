#!/bin/sh
# What the container starts: the given command, by default the service. A first start, with no artifact in the volume,
# trains one on the synthetic demo data set; where the volume is read-only, somebody else does, and is waited for.
set -eu

if [ "$*" = "python -m service" ]; then
  python -m service --check # a setting that is refused is refused before anything is trained
fi
if [ "$*" = "python -m service" ] && [ ! -e "$KINDRED_ARTIFACTS/current" ] && [ ! -e "$KINDRED_ARTIFACTS/manifest.json" ]; then
  if [ -e "$KINDRED_ARTIFACTS" ] && [ ! -w "$KINDRED_ARTIFACTS" ]; then
    echo "No artifact in $KINDRED_ARTIFACTS, which cannot be written: waiting for one."
    trap 'exit 143' TERM INT
    until [ -e "$KINDRED_ARTIFACTS/current" ] || [ -e "$KINDRED_ARTIFACTS/manifest.json" ]; do
      sleep 1 &
      wait $!
    done
    trap - TERM INT
    exec "$@"
  fi
  echo "No artifact in $KINDRED_ARTIFACTS: training one on the demo data set (synthetic), about a minute."
  # A shell that is process 1 passes no signals on; without this, `docker stop` would wait for the training.
  trap 'kill -TERM "$training"' TERM INT
  # One thread: the demo's matrices are so small that a second one gains nothing, and on cores that are busy with
  # other work its waiting costs several times more than it computes.
  python -m training train --data demo --output "$KINDRED_ARTIFACTS" --threads 1 &
  training=$!
  wait "$training"
  trap - TERM INT
fi
exec "$@"
