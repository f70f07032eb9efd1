#!/usr/bin/env bash
# Stop the demo's server. Safe to repeat.
set -euo pipefail
pid_file=${DEMO:-.demo}/server.pid
[ -f "$pid_file" ] || { echo "no demo is running here"; exit 0; }
pid=$(<"$pid_file")
if kill "$pid" 2>/dev/null; then
  for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  echo "stopped"
else
  echo "it was not running"
fi
rm -f "$pid_file"
