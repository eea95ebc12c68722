#!/usr/bin/env bash
# From a fresh clone to a running mesh on this machine: builds, fetches the bus, and starts everything with one command.
set -euo pipefail

readonly rust_floor="1.95"

here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly here

usage() {
  cat <<'HELP'
Usage: deploy/quickstart.sh [--once] [--state DIR] [--nodes N] [PATH...]

Builds Landfall, fetches nats-server, and starts a bus, a coordinator and three agents as processes of your own user. Each agent backs
up PATH (default: this checkout) into one repository that they share; one round runs at once, and its verdict is shown. Then it stays
up and says what to try next. Ctrl-C ends what it started and nothing else; starting again continues from the state.

  --once       end after the verdict; the exit code is 0 only if it is "converged"
  --state DIR  folder for keys, log, repository and everything else (default: .landfall in this checkout)
  --nodes N    how many agents (default: 3 at first, then as many as there were)
  --help       this text

Nothing is installed and nothing outside DIR is written, except for cargo's own folders and the fetched nats-server (see
deploy/tools.sh --help). To undo everything: rm -r .landfall target
HELP
}

# fail WHAT WHY REMEDY
fail() {
  printf 'quickstart: %s\n  why:  %s\n  do:   %s\n' "$1" "$2" "$3" >&2
  exit 1
}

say() { printf 'quickstart: %s\n' "$*" >&2; }

at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

require_toolchain() {
  local version
  command -v cargo >/dev/null ||
    fail "there is no Rust toolchain" "cargo is not on PATH" "install Rust $rust_floor or newer with rustup (its own site says how), open a fresh shell and try again"
  version="$(cd "$here" && cargo --version | sed -n 's/^cargo \([0-9.]*\).*/\1/p')"
  at_least "${version:-0}" "$rust_floor" ||
    fail "the Rust toolchain is too old" "cargo is ${version:-of an unknown version}, and $rust_floor is the oldest that can build this" "run: rustup update stable"
  command -v cc >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null ||
    fail "there is no C compiler" "some libraries contain C" "on Debian: apt-get install gcc libc6-dev"
}

main() {
  local arguments=() paths=() state="" bus target

  while [ $# -gt 0 ]; do
    case "$1" in
    -h | --help)
      usage
      exit 0
      ;;
    --once) arguments+=(--once) ;;
    --state | --nodes)
      [ $# -ge 2 ] || fail "$1 needs a value" "nothing follows it" "see deploy/quickstart.sh --help"
      if [ "$1" = --state ]; then state="$2"; else arguments+=(--nodes "$2"); fi
      shift
      ;;
    --state=*) state="${1#--state=}" ;;
    --nodes=*) arguments+=(--nodes "${1#--nodes=}") ;;
    --)
      shift
      paths+=("$@")
      break
      ;;
    -*) fail "there is no option $1" "deploy/quickstart.sh knows a few" "see deploy/quickstart.sh --help" ;;
    *) paths+=("$1") ;;
    esac
    shift
  done
  state="${state:-$here/.landfall}"
  # What was chosen at an earlier start stays until another path is named.
  if [ "${#paths[@]}" -eq 0 ] && [ ! -e "$state/up.toml" ]; then paths=("$here"); fi

  require_toolchain
  bus="$("$here/deploy/tools.sh" nats-server)"
  say "building; the first time takes some minutes"
  cargo build --manifest-path "$here/Cargo.toml" --release --locked -p landfall -p landfall-agent
  target="${CARGO_TARGET_DIR:-$here/target}"
  exec "$target/release/landfall" up --state "$state" --nats-server "$bus" "${arguments[@]}" -- "${paths[@]}"
}

main "$@"
