#!/bin/sh
# The container starts the given command, by default the service. If the volume holds no artifact, this script first
# trains one on the synthetic demo data set. If the volume is read-only, the script waits for an artifact instead.
set -eu

if [ "$*" = "python -m service" ]; then
  python -m service --check # refuse a bad setting before any training
fi
if [ "$*" = "python -m service" ] && [ ! -e "$KINDRED_ARTIFACTS/current" ] && [ ! -e "$KINDRED_ARTIFACTS/manifest.json" ]; then
  if [ -e "$KINDRED_ARTIFACTS" ] && [ ! -w "$KINDRED_ARTIFACTS" ]; then
    echo "Waiting for an artifact in $KINDRED_ARTIFACTS, which is read-only here."
    trap 'exit 143' TERM INT
    until [ -e "$KINDRED_ARTIFACTS/current" ] || [ -e "$KINDRED_ARTIFACTS/manifest.json" ]; do
      sleep 1 &
      wait $!
    done
    trap - TERM INT
    exec "$@"
  fi
  echo "No artifact in $KINDRED_ARTIFACTS: training one on the synthetic demo data set. This takes about a minute."
  # A shell that is process 1 passes no signals on. Without this trap, `docker stop` would wait for the training.
  trap 'kill -TERM "$training"' TERM INT
  # One thread: the demo's matrices are too small for a second one to help. On busy cores the two threads wait for each
  # other, which costs several times more than the second one computes.
  python -m training train --data demo --output "$KINDRED_ARTIFACTS" --threads 1 &
  training=$!
  wait "$training"
  trap - TERM INT
fi
exec "$@"
