#!/usr/bin/env bash
# Shows that systemd understands every unit in this folder, and that none is less confined than it was.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
readonly here

if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
  cat <<'HELP'
Usage: deploy/systemd/check.sh

Runs `systemd-analyze verify` and `systemd-analyze security` on the units, without a running systemd and without installing anything.
Programs that are not in /usr/bin yet are taken from $LANDFALL_BIN_DIR, else /bin/true stands in for them.
HELP
  exit 0
fi

if ! command -v systemd-analyze >/dev/null; then
  printf 'check: %s\n  why:  %s\n  do:   %s\n' "the systemd units cannot be checked" "there is no systemd-analyze on this machine" \
    "install the package systemd (it need not be running)" >&2
  exit 1
fi

scratch="$(mktemp -d)"
output="$(mktemp)"
trap 'rm -rf "$scratch" "$output"' EXIT

# A stand-in for a program that a unit starts: `verify` refuses a path that does not exist.
stand_in() {
  if [ -x "/usr/bin/$1" ]; then
    echo "/usr/bin/$1"
  elif [ -x "${LANDFALL_BIN_DIR:-/nonexistent}/$1" ]; then
    echo "$LANDFALL_BIN_DIR/$1"
  else
    echo /bin/true
  fi
}

for unit in "$here"/*.service "$here"/*.timer; do
  sed -e "s|^ExecStart=/usr/bin/landfall-agent |ExecStart=$(stand_in landfall-agent) |" \
    -e "s|^ExecStart=/usr/bin/landfall |ExecStart=$(stand_in landfall) |" \
    -e "s|^ExecStart=/usr/bin/nats-server |ExecStart=$(stand_in nats-server) |" "$unit" >"$scratch/${unit##*/}"
done

status=0
for unit in "$scratch"/*; do
  # A template is checked as one of its instances.
  instance="${unit/@./@nightly.}"
  # A warning, such as a misspelt key, does not change verify's exit status, so any line about our files counts.
  if ! systemd-analyze verify --man=no --recursive-errors=no "$instance" >"$output" 2>&1 || grep -qF "$scratch" "$output"; then
    echo "refused:  ${unit##*/}" >&2
    sed 's/^/  /' "$output" >&2
    status=1
  else
    echo "accepted: ${unit##*/}"
  fi
done

# confined UNIT EXPOSURE: systemd's own measure times ten, from 0 (nothing is allowed) to 100.
confined() {
  if systemd-analyze security --offline=true --threshold="$2" "$here/$1" >"$output" 2>&1; then
    echo "confined: $1 ($(sed -n 's/.*level for [^:]*: \([0-9.]*\).*/\1/p' "$output") of 10)"
  else
    echo "exposed:  $1 is above $2, its limit" >&2
    grep '✗' "$output" >&2 || cat "$output" >&2
    status=1
  fi
}

confined landfall-bus.service 20
confined landfall-coordinator.service 20
# What runs backups must read everything, start any tool and reach any address.
confined landfall-agent.service 35
confined landfall-run@.service 35

exit "$status"
