#!/usr/bin/env bash
# Makes one virtual environment a peer, and the node folder for bullmq, under
# $BENCH_HOME (default: bench in the temporary folder), outside the repository.
# The newest releases are installed; UPGRADE=1 renews what is there.
#   bench/setup.sh [peer...]        peers: see VENVS below, or "node"
set -euo pipefail

BENCH_HOME=${BENCH_HOME:-$(dirname "$(mktemp -u)")/bench}
PYTHON=${PYTHON:-python3.11}
UV=${UV:-$(command -v uv || true)}
mkdir -p "$BENCH_HOME/venvs" "$BENCH_HOME/node"

# name -> requirements.  hiredis and uvloop go to every peer that can use them,
# so that no peer is slow for want of a parser.
repo=$(cd "$(dirname "$0")/.." && pwd)
declare -A VENVS=(
  [crewline]="-e $repo[fast]"
  [bullmq_py]="bullmq hiredis uvloop"
  [saq]="saq[redis,hiredis] typing_extensions uvloop"  # saq imports typing_extensions without requiring it
  [streaq]="streaq hiredis uvloop"
  [taskiq]="taskiq taskiq-redis hiredis uvloop"
  [dramatiq]="dramatiq[redis] hiredis"
  [celery]="celery[redis] hiredis gevent"
  [rq]="rq hiredis"
  [arq]="arq hiredis uvloop"
  [huey]="huey[redis] hiredis gevent"
  [plot]="matplotlib"
)

for name in "${@:-${!VENVS[@]}}"; do
  [ "$name" = node ] && continue
  for n in $name; do
    reqs=${VENVS[$n]:-}
    [ -n "$reqs" ] || { echo "unknown peer: $n" >&2; exit 2; }
    venv=$BENCH_HOME/venvs/$n
    up=(); [ -n "${UPGRADE:-}" ] && up=(--upgrade)
    if [ -n "$UV" ]; then
      [ -x "$venv/bin/python" ] || "$UV" venv -q --python "$PYTHON" "$venv"
      # shellcheck disable=SC2086
      "$UV" pip install -q "${up[@]}" --python "$venv/bin/python" $reqs
    else
      [ -x "$venv/bin/python" ] || "$PYTHON" -m venv "$venv"
      # shellcheck disable=SC2086
      "$venv/bin/python" -m pip install -q "${up[@]}" $reqs
    fi
    echo "ready: $n"
  done
done

if [ $# -eq 0 ] || [[ " $* " == *" node "* ]]; then
  (cd "$BENCH_HOME/node"
   [ -f package.json ] || echo '{"name":"bench","private":true,"type":"module"}' > package.json
   if [ -n "${UPGRADE:-}" ] || [ ! -d node_modules/bullmq ]; then
     npm install --silent --no-audit --no-fund bullmq@latest ioredis
   fi)
  echo "ready: node"
fi
