#!/usr/bin/env bash
# The one command that says whether Landfall is in order: fetches what the checks and tests need, and runs them all.

# Functions are reached by name, through a variable or a trap, which the linter cannot follow.
# shellcheck disable=SC2317
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly rust_floor="1.95"
# The fast ones first; the tests last, so that the output ends with their summary.
readonly all_stages=(format scripts units bus deny cores lint build docs sim tests)

usage() {
  cat <<'HELP'
Usage: deploy/test.sh [--quick] [STAGE...]

Runs every check and test, or only the stages that are named:

  format   cargo fmt --check
  scripts  shellcheck on every script
  units    the systemd units are understood and confined
  bus      nats-server accepts every sample configuration, and three servers find together
  deny     licences, banned crates and sources of all dependencies
  cores    each package's core compiles alone, without any crate that does input or output
  lint     clippy, every warning an error
  build    the two binaries, which the end-to-end tests run
  docs     the examples in the documentation
  sim      the simulator: thousands of seeds, every planted bug, every scenario script
  tests    cargo nextest: unit, property and end-to-end tests with real processes

  --quick  leaves out the tests that start a bus, a coordinator and agents as real processes, and runs fewer seeds
  --help   this text

A stage that fails does not keep the others from running; the exit code is 0 only if all passed. Missing Debian packages are installed
when this runs as root and are named otherwise; other tools are fetched by deploy/tools.sh, without installing anything. Objects
go to $CARGO_TARGET_DIR (default: ~/.cache/landfall/target), so that a fresh clone need not compile the dependencies again.
HELP
}

# fail WHAT WHY REMEDY
fail() {
  printf 'test: %s\n  why:  %s\n  do:   %s\n' "$1" "$2" "$3" >&2
  exit 1
}

# ------------------------------------------------------------------------------------------------------------- what the tests need

require_rust() {
  local version component
  command -v cargo >/dev/null ||
    fail "there is no Rust toolchain" "cargo is not on PATH" "install Rust $rust_floor or newer and try again"
  version="$(rustc --version | sed -n 's/^rustc \([0-9.]*\).*/\1/p')"
  [ "$(printf '%s\n%s\n' "$version" "$rust_floor" | sort -V | head -n 1)" = "$rust_floor" ] ||
    fail "the Rust toolchain is too old" "it is ${version:-unknown}, and Landfall needs $rust_floor" "update it, for example with: rustup update"
  for component in fmt clippy; do
    cargo "$component" --version >/dev/null 2>&1 ||
      fail "cargo $component is missing" "the toolchain was installed without it" "run: rustup component add rustfmt clippy"
  done
}

# What is compiled, linked, analysed or read from the system, and the Debian packages that bring it.
missing_packages() {
  command -v cc >/dev/null || echo gcc libc6-dev
  command -v systemd-analyze >/dev/null || echo systemd
  command -v flock >/dev/null || echo util-linux
  # A script that pings as cron's do; and the folders of their own for what comes from PyPI.
  command -v curl >/dev/null || echo curl
  python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || echo python3-venv
  [ -e /usr/share/zoneinfo/Europe/Berlin ] || echo tzdata
}

require_packages() {
  local packages
  mapfile -t packages < <(missing_packages | tr ' ' '\n')
  if [ "${#packages[@]}" -eq 0 ]; then return; fi
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    fail "this machine lacks ${packages[*]}" "the tests need them, and only root on a Debian machine can have them installed from here" \
      "install them, for example with: apt-get install ${packages[*]}"
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${packages[@]}"
}

# Tests find the outside programs through these variables; one that is set already is respected.
require_tools() {
  local paths
  mapfile -t paths < <(deploy/tools.sh nats-server nats-server-new restic restic-old borg shellcheck cargo-nextest cargo-deny \
    faketime alertmanager python-aiosmtpd schemathesis promtool prometheus chromium node playwright borgmatic rest-server)
  [ "${#paths[@]}" -eq 19 ] || exit 1
  export LANDFALL_NATS_SERVER="${paths[0]}" LANDFALL_NATS_SERVER_NEW="${paths[1]}"
  export LANDFALL_RESTIC="${paths[2]}" LANDFALL_RESTIC_OLD="${paths[3]}" LANDFALL_BORG="${paths[4]}"
  export LANDFALL_FAKETIME="${paths[8]}" LANDFALL_ALERTMANAGER="${paths[9]}" LANDFALL_PYTHON_AIOSMTPD="${paths[10]}"
  shellcheck="${paths[5]}" nextest="${paths[6]}" deny="${paths[7]}"
  export LANDFALL_SCHEMATHESIS="${paths[11]}" LANDFALL_PROMTOOL="${paths[12]}" LANDFALL_PROMETHEUS="${paths[13]}"
  export LANDFALL_CHROMIUM="${paths[14]}" LANDFALL_NODE="${paths[15]}" LANDFALL_PLAYWRIGHT="${paths[16]}"
  export LANDFALL_BORGMATIC="${paths[17]}" LANDFALL_REST_SERVER="${paths[18]}"
}

# -------------------------------------------------------------------------------------------------------------------------- stages

stage_format() { cargo fmt --all --check; }

stage_scripts() { find deploy .ci -type f \( -name '*.sh' -o -path '.ci/run' \) -exec "$shellcheck" {} +; }

stage_units() { deploy/systemd/check.sh; }

stage_bus() { deploy/nats/check.sh; }

stage_deny() { "$deny" --config .deny.toml check bans licenses sources; }

# One package at a time, because cargo would otherwise give each the features that another one asks for.
stage_cores() {
  local package
  for package in landfall-proto landfall-agent landfall; do
    cargo check -p "$package" --lib --no-default-features || return 1
  done
}

stage_lint() { cargo clippy --workspace --all-targets -- -D warnings; }

stage_build() { cargo build --workspace --bins; }

stage_docs() { cargo test --workspace --doc; }

# A promise whose check has never fired proves nothing, so the planted bugs run with the seeds.
stage_sim() {
  local seeds=2000
  if [ "$quick" = yes ]; then seeds=200; fi
  # A range leaves its end out.
  cargo sim --seeds "1..$((seeds + 1))" && cargo sim --mutants && cargo sim scenario chaos/scenarios/*.txt
}

stage_tests() {
  local selection=()
  if [ "$quick" = yes ]; then selection=(--filterset 'not (package(landfall-chaos) & (binary(live) | binary(browser)))'); fi
  # The end-to-end tests start the two binaries, also where only this stage was asked for.
  cargo build --quiet --workspace --bins || return 1
  "$nextest" nextest run --workspace --profile ci "${selection[@]}"
}

# ---------------------------------------------------------------------------------------------------------------------------- main

started="$SECONDS"
heading() { printf '\n=== %s (at %d s)\n' "$1" "$((SECONDS - started))"; }

quick=no
stages=()
failed=()

read_arguments() {
  while [ $# -gt 0 ]; do
    case "$1" in
    -h | --help)
      usage
      exit 0
      ;;
    --quick) quick=yes ;;
    *)
      [[ " ${all_stages[*]} " == *" $1 "* ]] ||
        fail "there is no stage called '$1'" "the stages are: ${all_stages[*]}" "run deploy/test.sh --help"
      stages+=("$1")
      ;;
    esac
    shift
  done
  if [ "${#stages[@]}" -eq 0 ]; then stages=("${all_stages[@]}"); fi
}

main() {
  local stage
  read_arguments "$@"
  export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/landfall/target}"
  mkdir -p "$CARGO_TARGET_DIR"
  CARGO_TARGET_DIR="$(cd "$CARGO_TARGET_DIR" && pwd)"
  export LANDFALL_BIN_DIR="$CARGO_TARGET_DIR/debug"

  heading "what the tests need"
  require_rust
  require_packages
  require_tools

  for stage in "${stages[@]}"; do
    heading "$stage"
    "stage_$stage" || failed+=("$stage")
  done

  if [ "${#failed[@]}" -gt 0 ]; then
    printf '\ntest: failed after %d s in: %s\n' "$((SECONDS - started))" "${failed[*]}" >&2
    exit 1
  fi
  # The shell reads a script as it goes: ended here, a change of this file during a long run cannot confuse it.
  exit 0
}

main "$@"
