#!/usr/bin/env bash
# Shows that nats-server accepts every sample configuration in this folder, and that three servers with the cluster samples find together.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
readonly here
readonly patience_s=30

if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
  cat <<'HELP'
Usage: deploy/nats/check.sh

Tests each sample with `nats-server -t`, then starts the three of the cluster on loopback addresses until they have elected a leader.
The server is LANDFALL_NATS_SERVER, or what deploy/tools.sh finds.
HELP
  exit 0
fi

server="$("$here/../tools.sh" nats-server)"
scratch="$(mktemp -d)"
servers=()
cleanup() {
  if [ "${#servers[@]}" -gt 0 ]; then
    kill "${servers[@]}" 2>/dev/null || true
    wait "${servers[@]}" 2>/dev/null || true
  fi
  rm -rf "$scratch"
}
trap cleanup EXIT

# A loopback network of this call's own, so that the samples keep their ports and two calls do not meet.
network="127.$((RANDOM % 200 + 20)).$((RANDOM % 250 + 1))"
in_network() {
  sed -e "s|bus-one.example.net|$network.1|g; s|bus-two.example.net|$network.2|g; s|bus-three.example.net|$network.3|g" \
    -e "s|0\.0\.0\.0:|$2:|; s|127\.0\.0\.1:|$2:|; s|/var/lib/landfall-bus|$scratch/$2|" "$1"
}

sed -n 's/^#\(LANDFALL_\)/\1/p' "$here/cluster/bus.env" >"$scratch/bus.env.sample"
in_network "$scratch/bus.env.sample" unused >"$scratch/bus.env"
set -a
# shellcheck disable=SC1091
. "$scratch/bus.env"
set +a

cp "$here/users.conf" "$scratch/"
status=0
address=0
for sample in nats.conf cluster/bus-one.conf cluster/bus-two.conf cluster/bus-three.conf; do
  conf="$scratch/$address.conf"
  in_network "$here/$sample" "$network.$address" >"$conf"
  if "$server" -t -c "$conf" >"$scratch/output" 2>&1; then
    echo "accepted: $sample"
  else
    echo "refused:  $sample" >&2
    sed 's/^/  /' "$scratch/output" >&2
    status=1
  fi
  address=$((address + 1))
done
if [ "$status" -ne 0 ]; then exit "$status"; fi

# A server accepts routes that its neighbours refuse, so only a started cluster shows that the three samples fit each other.
for address in 1 2 3; do
  "$server" -c "$scratch/$address.conf" 2>"$scratch/$address.log" &
  servers+=($!)
done
deadline=$((SECONDS + patience_s))
until grep -qs 'new metadata leader' "$scratch"/[123].log; do
  if [ "$SECONDS" -ge "$deadline" ]; then
    echo "the three servers of the cluster samples did not elect a leader within $patience_s s; the last errors are:" >&2
    grep -h 'ERR\|WRN' "$scratch"/[123].log | tail -n 6 >&2
    exit 1
  fi
  sleep 0.2
done
if grep -hi 'authorization\|authentication' "$scratch"/[123].log >&2; then exit 1; fi
echo "together: the three servers of the cluster samples elected a leader"
