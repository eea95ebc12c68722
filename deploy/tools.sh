#!/usr/bin/env bash
# Fetches the outside programs that Landfall runs or tests against, without touching the system, and prints where each one is.

# Functions are reached by name, through a variable or a trap, which the linter cannot follow.
# shellcheck disable=SC2317
set -euo pipefail

readonly tools="${LANDFALL_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/landfall/tools}"
readonly nats_floor="2.10"
readonly nextest_version="0.9.143"
readonly deny_version="0.20.2"
readonly schemathesis_version="4.32.5"
readonly node_floor="20"
readonly playwright_version="1.65.1"
readonly playwright_sha512="86a3e9cfb6e548c3f1595768784d728814b35ec2a254e77693e9230af994cb00f618f3b60ddf477dc5a7abd34dd061db3590c5819f497c116bf97e7f04ba34ab"
readonly borgmatic_version="2.1.10"

usage() {
  cat <<'HELP'
Usage: deploy/tools.sh NAME...

Prints the path of each named program, one per line, fetching it first when it is not there yet.

  nats-server      the bus, 2.10 or newer: an acceptable one on PATH, else Debian 13's
  nats-server-new  the newest bus that Landfall is tested with, from Debian testing
  restic           the current restic, from Debian testing
  rest-server      restic's REST server, which keeps repositories of others, from Debian 13
  restic-old       Debian 12's restic, the oldest reader that must understand our repositories
  borg             the current borg, from Debian testing, with the Python and libraries it needs
  alertmanager     Prometheus's Alertmanager, a receiver of alerts, from Debian 13
  promtool         Prometheus's checker of rules, from Debian 13
  prometheus       Prometheus itself, from Debian 13
  python-aiosmtpd  a Python with the mail server aiosmtpd, from Debian 13
  shellcheck       the shell linter, from Debian 13
  faketime         libfaketime, the library that gives one program another time of day, from Debian 12
  cargo-nextest    the test runner: the one on PATH, else built by cargo
  cargo-deny       the licence and source check: the one on PATH, else built by cargo
  schemathesis     draws requests from the API's own document, from PyPI into a folder of its own
  chromium         the browser that looks at the pages: the one on PATH, else Debian's without a window
  node             runs what the browser is to do: 20 or newer on PATH, else Debian 13's, with its npm
  playwright       the folder of playwright-core, which leads the browser; by npm, from where this machine's npm fetches
  borgmatic        a program with a hook that pings, from PyPI into a folder of its own

Programs are kept in $LANDFALL_TOOLS (default: ~/.cache/landfall/tools); remove a program's folder there to fetch it again.
A variable LANDFALL_<NAME>, such as LANDFALL_RESTIC_OLD=/opt/restic, names a program of your own instead; NATS_SERVER does so for
the bus. Debian packages come from this machine's own mirror and their signatures are checked; nothing is installed.
HELP
}

say() { printf 'tools: %s\n' "$*" >&2; }

# fail WHAT WHY REMEDY
fail() {
  printf 'tools: %s\n  why:  %s\n  do:   %s\n' "$1" "$2" "$3" >&2
  exit 1
}

at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

nats_version() { "$1" --version 2>/dev/null | sed -n 's/^nats-server: v\{0,1\}//p'; }

# What a person can do where Debian packages cannot be had.
remedy() {
  case "$1" in
  faketime) echo "install libfaketime by hand and set LANDFALL_FAKETIME to its library" ;;
  playwright) echo "unpack playwright-core by hand and set LANDFALL_PLAYWRIGHT to its folder" ;;
  nats-server*) echo "install nats-server $nats_floor or newer by hand and set NATS_SERVER to its path" ;;
  *) echo "install ${1%-old} by hand and set $(variable "$1") to its path" ;;
  esac
}

variable() { echo "LANDFALL_$(printf '%s' "$1" | tr 'a-z-' 'A-Z_')"; }

# ---------------------------------------------------------------------------------------------------------------- Debian packages

scratch=""
cleanup() { if [ -n "$scratch" ]; then rm -rf "$scratch"; fi; }
trap cleanup EXIT

# The archive keyring of Debian 12 is enough for every suite used here: trixie, forky and sid are signed with bookworm's key too.
keyring() {
  local candidate
  for candidate in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do
    if [ -r "$candidate" ]; then
      echo "$candidate"
      return
    fi
  done
  fail "Debian's signing keys are not on this machine" "none of /usr/share/keyrings/debian-archive-keyring.{pgp,gpg} can be read" \
    "install the package debian-archive-keyring, or: $(remedy "$1")"
}

# Every address that this machine's own apt uses for a component `main`, the likeliest first: the suite that the machine itself runs,
# then other suites, then security and updates. What decides in the end is whether Debian's signature fits. It works before the first
# `apt-get update` too, as on a fresh machine.
mirrors() {
  local codename
  # shellcheck disable=SC1091
  codename="$(. /etc/os-release && echo "${VERSION_CODENAME:-}")"
  # apt expands the $(…) fields, not the shell; without the two options it would write its own cache when root asks.
  # shellcheck disable=SC2016
  apt-get -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= indextargets --no-release-info --format '$(CREATED_BY)|$(COMPONENT)|$(RELEASE)|$(REPO_URI)' 2>/dev/null |
    awk -F'|' -v codename="$codename" '$1 == "Packages" && $2 == "main" {
      print ($3 == codename ? 0 : $3 ~ /-/ ? 2 : 1) "|" $4 }' | sort -t'|' -k1,1n -s | cut -d'|' -f2 | awk '!seen[$0]++'
}

# The part of apt's output that says what went wrong, on one line.
complaint() { { grep -E '^[EW]: ' "$1" || tail -n 2 "$1"; } | awk '!seen[$0]++' | head -n 2 | cut -c 1-400 | tr '\n' ' '; }

# A complete apt state of its own for one suite: nothing below /etc/apt or /var is written, no hook of the machine runs, and only
# the machine's way to the network (proxies, time limits) is taken over.
write_apt_state() {
  local state="$1" suite="$2" mirror="$3" keys="$4"
  mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
  : >"$state/status"
  printf 'deb [signed-by=%s] %s %s main\n' "$keys" "$mirror" "$suite" >"$state/sources.list"
  {
    apt-config dump | grep '^Acquire::' | grep -vE '^Acquire::(IndexTargets|Languages|cdrom)' || true
    cat <<CONF
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "30";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::sourcelist "$state/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State "$state";
Dir::State::lists "$state/lists";
Dir::State::status "$state/status";
Dir::Cache "$state/cache";
CONF
  } >"$state/apt.conf"
}

# Leaves the state of one suite in $scratch/SUITE, once per call of this script.
open_suite() {
  local name="$1" suite="$2" keys mirror state log
  if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
    fail "$name cannot be fetched" "it comes from a Debian package, and this machine has no apt" "$(remedy "$name")"
  fi
  if [ -z "$scratch" ]; then scratch="$(mktemp -d)"; fi
  state="$scratch/$suite"
  if [ -e "$state/ready" ]; then return; fi
  keys="$(keyring "$name")"
  log="$scratch/$suite.log"
  : >"$log"
  for mirror in $(mirrors); do
    rm -rf "$state"
    write_apt_state "$state" "$suite" "$mirror" "$keys"
    if APT_CONFIG="$state/apt.conf" apt-get update -qq -o APT::Update::Error-Mode=any >>"$log" 2>&1; then
      touch "$state/ready"
      return
    fi
  done
  if [ ! -s "$log" ]; then echo "E: this machine's apt names no repository with a component 'main'" >"$log"; fi
  fail "the package list of Debian $suite cannot be read, so $name cannot be fetched" "$(complaint "$log")" \
    "check the network and this machine's apt sources, or: $(remedy "$name")"
}

# download NAME SUITE PACKAGES WITH_DEPENDENCIES: leaves .deb files in $scratch/debs.
download() {
  local name="$1" suite="$2" package="$3" whole="$4" log packages
  read -ra packages <<<"$package"
  open_suite "$name" "$suite"
  log="$scratch/download.log"
  rm -rf "$scratch/debs"
  mkdir -p "$scratch/debs/partial"
  say "fetching $package from Debian $suite"
  if [ "$whole" = yes ]; then
    APT_CONFIG="$scratch/$suite/apt.conf" apt-get install -qq -y --download-only -o "Dir::Cache::archives=$scratch/debs" "${packages[@]}" >"$log" 2>&1
  else
    (cd "$scratch/debs" && APT_CONFIG="$scratch/$suite/apt.conf" apt-get download -qq "${packages[@]}") >"$log" 2>&1
  fi || fail "$package of Debian $suite cannot be fetched" "$(complaint "$log")" "check the network, or: $(remedy "$name")"
}

# Puts a finished folder in its place in one step; the caller holds the name's lock.
settle() {
  local name="$1" new="$2"
  "$new/bin/$name" --version >/dev/null 2>"$scratch/run.log" || "$new/bin/$name" version >/dev/null 2>>"$scratch/run.log" ||
    fail "the $name that was fetched does not run here" "$(tail -n 2 "$scratch/run.log" | tr '\n' ' ')" "$(remedy "$name")"
  chmod 755 "$new"
  mv -T "$new" "$tools/$name"
}

# Programs that need nothing but a C library (2.34 or newer, so Debian 12's and 13's) run as they are unpacked.
fetch_plain() {
  local name="$1" suite="$2" package="$3" program="${4:-$3}" new deb
  download "$name" "$suite" "$package" no
  new="$(mktemp -d "$tools/.new-$name.XXXXXX")"
  for deb in "$scratch"/debs/*.deb; do dpkg -x "$deb" "$new/root"; done
  mkdir "$new/bin"
  ln -s "../root$(cd "$new/root" && find usr/bin usr/sbin -name "$program" -printf '/%p\n' 2>/dev/null | head -n 1)" "$new/bin/$name"
  settle "$name" "$new"
}

# A library that other programs load beside themselves; Debian 12's, because it asks for the oldest C library. It is tried on a program
# before it counts.
fetch_library() {
  local name="$1" suite="$2" package="$3" file="$4" new deb
  download "$name" "$suite" "$package" no
  new="$(mktemp -d "$tools/.new-$name.XXXXXX")"
  for deb in "$scratch"/debs/*.deb; do dpkg -x "$deb" "$new/root"; done
  mkdir "$new/lib"
  ln -s "../root$(cd "$new/root" && find usr/lib -name "$file" -printf '/%p\n' | head -n 1)" "$new/lib/$file"
  [ "$(LD_PRELOAD="$new/lib/$file" FAKETIME='@2001-02-03 04:05:06' date +%Y 2>"$scratch/run.log")" = 2001 ] ||
    fail "the $name that was fetched does not work here" "a program that was to see the year 2001 did not: $(tail -n 2 "$scratch/run.log" | tr '\n' ' ')" \
      "$(remedy "$name")"
  chmod 755 "$new"
  mv -T "$new" "$tools/$name"
}

# Debian's Alertmanager reads its templates from a fixed place below /usr, where nothing is to be installed. In the unpacked copy the
# name of that place is overwritten, in its own length, by that of a folder which the starter holds open.
fetch_alertmanager() {
  local new deb
  local -r built_in=/usr/share/prometheus/alertmanager held=/proc/self/fd/9/./././././././././
  download alertmanager trixie prometheus-alertmanager no
  new="$(mktemp -d "$tools/.new-alertmanager.XXXXXX")"
  for deb in "$scratch"/debs/*.deb; do dpkg -x "$deb" "$new/root"; done
  LC_ALL=C sed -i "s#$built_in#$held#g" "$new/root/usr/bin/prometheus-alertmanager"
  mkdir "$new/bin"
  cat >"$new/bin/alertmanager" <<SH
#!/bin/sh
here="\$(dirname "\$(dirname "\$(readlink -f "\$0")")")"
exec 9<"\$here/root$built_in"
exec "\$here/root/usr/bin/prometheus-alertmanager" "\$@"
SH
  chmod 755 "$new/bin/alertmanager"
  settle alertmanager "$new"
}

# Programs with libraries of their own suite are unpacked with all that they depend on, the C library included, and started through
# that suite's own loader. So the same borg 1.4.5 with Python 3.14 runs on Debian 12 (Python 3.11) and 13 (Python 3.13), where its
# package could not be installed.
fetch_whole() {
  local name="$1" suite="$2" package="$3" program="$4" new deb
  download "$name" "$suite" "$package" yes
  new="$(mktemp -d "$tools/.new-$name.XXXXXX")"
  for deb in "$scratch"/debs/*.deb; do dpkg -x "$deb" "$new/root"; done
  mkdir "$new/bin"
  write_launcher "$new" "$program" >"$new/bin/$name"
  chmod 755 "$new/bin/$name"
  settle "$name" "$new"
}

# Prints a starter that finds its own folder, so that the tools may be moved as a whole. Without a program it starts Python itself.
write_launcher() {
  local new="$1" program="$2" loader libraries python modules
  loader="$(cd "$new" && find root -name 'ld-linux*.so.*' | sort | head -n 1)"
  libraries="$(cd "$new" && dirname "$(find root/usr/lib -name 'libc.so.6' | head -n 1)")"
  python="$(cd "$new" && find root/usr/bin -name 'python3.[0-9]*' | sort -V | tail -n 1)"
  cat <<'SH'
#!/bin/sh
here="$(dirname "$(dirname "$(readlink -f "$0")")")"
SH
  if [ -z "$python" ]; then
    echo "exec \"\$here/$loader\" --library-path \"\$here/$libraries\" \"\$here/root/$program\" \"\$@\""
    return
  fi
  modules="root/usr/lib/python3/dist-packages"
  echo "export PYTHONHOME=\"\$here/root/usr\" PYTHONPATH=\"\$here/$modules\""
  echo "exec \"\$here/$loader\" --library-path \"\$here/$libraries\" \"\$here/$python\" -s ${program:+\"\$here/root/$program\"} \"\$@\""
  # An installed package has its modules compiled; without this, each start would compile them again and comparisons would be unfair.
  env -u PYTHONDONTWRITEBYTECODE PYTHONHOME="$new/root/usr" "$new/$loader" --library-path "$new/$libraries" "$new/$python" -m compileall -qq \
    -s "$new/root" -p / "$new/root/usr/lib/${python##*/}" "$new/$modules" >&2 || true
}

# A browser starts itself again for each of its parts, which a foreign loader would not survive: it runs with this machine's own C
# library, so it is of this machine's suite, or of Debian 12, which asks for the oldest. It brings its other libraries and a font.
fetch_chromium() {
  local new deb suite
  suite="$(chromium_suite)"
  download chromium "$suite" "chromium-headless-shell fonts-dejavu-core" yes
  new="$(mktemp -d "$tools/.new-chromium.XXXXXX")"
  for deb in "$scratch"/debs/*.deb; do
    case "${deb##*/}" in libc6_* | libc-bin_*) ;; *) dpkg -x "$deb" "$new/root" ;; esac
  done
  mkdir "$new/bin"
  cat >"$new/bin/chromium" <<SH
#!/bin/sh
here="\$(dirname "\$(dirname "\$(readlink -f "\$0")")")"
export LD_LIBRARY_PATH="\$here/$(libraries_of "$new" libnss3.so)" FONTCONFIG_FILE="\$here/fonts.conf"
exec "\$here/$(cd "$new" && find root/usr/lib/chromium* -type f -perm -u+x -name '*headless*shell' | head -n 1)" "\$@"
SH
  cat >"$new/fonts.conf" <<'XML'
<?xml version="1.0"?>
<fontconfig><dir prefix="relative">root/usr/share/fonts</dir><cachedir prefix="xdg">fontconfig</cachedir></fontconfig>
XML
  chmod 755 "$new/bin/chromium"
  settle chromium "$new"
}

chromium_suite() {
  # shellcheck disable=SC1091
  case "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" in
  trixie) echo trixie ;;
  *) echo bookworm ;;
  esac
}

# libraries_of FOLDER FILE: where a library lies, from the folder on.
libraries_of() { (cd "$1" && dirname "$(find root/usr/lib -name "$2" | head -n 1)"); }

# ------------------------------------------------------------------------------------------------------------------- npm's tools

# Debian's npm is several hundred small packages of modules, some of which node itself reads from a fixed place below /usr: see
# fetch_alertmanager.
fetch_node() {
  local new deb
  local -r built_in=/usr/share/nodejs held=/proc/self/fd/9/.
  download node trixie npm yes
  new="$(mktemp -d "$tools/.new-node.XXXXXX")"
  for deb in "$scratch"/debs/*.deb; do dpkg -x "$deb" "$new/root"; done
  find "$new/root/usr/lib" -type f -name 'libnode.so.*' -exec env LC_ALL=C sed -i "s#$built_in#$held#g" {} +
  mkdir "$new/bin"
  cat >"$new/bin/node" <<SH
#!/bin/sh
here="\$(dirname "\$(dirname "\$(readlink -f "\$0")")")"
exec 9<"\$here/root$built_in"
export NODE_PATH="\$here/root$built_in:\$here/root/usr/lib/nodejs"
exec "\$here/$(cd "$new" && find root -name 'ld-linux*.so.*' | sort | head -n 1)" --library-path "\$here/$(libraries_of "$new" libc.so.6)" \\
  "\$here/root/usr/bin/node" "\$@"
SH
  cat >"$new/bin/npm" <<'SH'
#!/bin/sh
here="$(dirname "$(dirname "$(readlink -f "$0")")")"
exec "$here/bin/node" "$here/root/usr/share/nodejs/npm/bin/npm-cli.js" "$@"
SH
  chmod 755 "$new/bin/node" "$new/bin/npm"
  settle node "$new"
}

# What npm says went wrong, on one line: its sentences, without codes, stack and the place of its own log.
npm_complaint() {
  { sed -nE 's/^npm (ERR!|error) //p' "$1" | grep -vE '^(code|syscall|errno|path) |^ |^}|complete log' || tail -n 2 "$1"; } |
    head -n 2 | cut -c 1-300 | tr '\n' ' '
}

fetch_playwright() {
  local new node npm archive log
  # In a shell of its own, with its own lock and its own scratch folder.
  node="$(
    scratch=""
    trap cleanup EXIT
    provide node
  )"
  npm="$(dirname "$node")/npm"
  [ -x "$npm" ] || npm="$(command -v npm)" ||
    fail "playwright-core cannot be fetched" "npm is neither beside $node nor on PATH" "install npm, or: $(remedy playwright)"
  say "fetching playwright-core $playwright_version with npm"
  new="$(mktemp -d "$tools/.new-playwright.XXXXXX")"
  log="$new/npm.log"
  "$npm" pack --loglevel error --pack-destination "$new" "playwright-core@$playwright_version" >"$log" 2>&1 ||
    fail "playwright-core $playwright_version cannot be fetched" "$(npm_complaint "$log")" "check the network and npm's configuration, or: $(remedy playwright)"
  archive="$(find "$new" -name '*.tgz')"
  echo "$playwright_sha512  $archive" | sha512sum --check --status ||
    fail "playwright-core $playwright_version is not what it should be" "what npm fetched has another checksum than the one in deploy/tools.sh" \
      "see where npm fetches from (npm config get registry), or: $(remedy playwright)"
  tar -xzf "$archive" -C "$new"
  "$node" -e 'require(process.argv[1]).chromium.name()' "$new/package" >"$log" 2>&1 ||
    fail "the playwright-core that was fetched does not run here" "$node says: $(grep -m 1 'Error' "$log" || echo 'nothing of use')" \
      "try another node ($node_floor or newer) with LANDFALL_NODE, or: $(remedy playwright)"
  rm -f "$archive" "$log"
  chmod 755 "$new"
  mv -T "$new" "$tools/playwright"
}

# ------------------------------------------------------------------------------------------------------------------- cargo's tools

fetch_crate() {
  local name="$1" version="$2" new build
  command -v cargo >/dev/null ||
    fail "$name cannot be built" "there is no cargo on PATH" "install a Rust toolchain (1.95 or newer) and try again"
  say "building $name $version with cargo; this takes minutes, once"
  new="$(mktemp -d "$tools/.new-$name.XXXXXX")"
  build="$(mktemp -d "$tools/.build-$name.XXXXXX")"
  # The caller's own target folder would fill with objects that nobody needs again.
  CARGO_TARGET_DIR="$build" cargo install --locked --quiet --root "$new" --version "$version" "$name" >&2 ||
    fail "$name $version cannot be built" "cargo's message is above" "solve that, or install $name by hand so that it is on PATH"
  rm -rf "$build"
  chmod 755 "$new"
  mv -T "$new" "$tools/$name"
}

# ----------------------------------------------------------------------------------------------------------------- Python's tools

# The folder cannot be moved once it is made, because its starters name it.
fetch_python() {
  local name="$1" version="$2" new="$tools/.new-$1.$2" log="$tools/.log-$1"
  command -v python3 >/dev/null ||
    fail "$name cannot be fetched" "there is no python3 on PATH" "install python3 with its venv module (Debian: python3-venv), or set $(variable "$name")"
  say "fetching $name $version with pip"
  rm -rf "$new"
  { python3 -m venv "$tools/$name.env" && "$tools/$name.env/bin/pip" install --quiet --disable-pip-version-check "$name==$version"; } >"$log" 2>&1 ||
    fail "$name $version cannot be fetched" "$(tail -n 2 "$log" | tr '\n' ' ')" "install python3-venv and check the network, or set $(variable "$name")"
  "$tools/$name.env/bin/$name" --version >/dev/null 2>"$log" || fail "the $name that was fetched does not run here" "$(tail -n 2 "$log" | tr '\n' ' ')" "set $(variable "$name")"
  mkdir -p "$new/bin"
  ln -s "$tools/$name.env/bin/$name" "$new/bin/$name"
  mv -T "$new" "$tools/$name"
  rm -f "$log"
}

# -------------------------------------------------------------------------------------------------------------------------- names

# Prints a program that the machine already has, if it may be used.
own() {
  local name="$1" wanted="" version found
  wanted="$(variable "$name")"
  wanted="${!wanted:-}"
  if [ "$name" = nats-server ] && [ -z "$wanted" ]; then wanted="${NATS_SERVER:-}"; fi
  if [ -n "$wanted" ]; then
    if [ "$name" = faketime ] || [ "$name" = playwright ]; then
      [ -r "$wanted" ] || fail "$wanted cannot be read" "an environment variable names it as $name" "correct or unset the variable"
      echo "$wanted"
      return
    fi
    found="$(command -v "$wanted")" ||
      fail "$wanted cannot be run" "an environment variable names it as $name, but it is not an executable file" "correct or unset the variable"
    if [ "$name" = nats-server ]; then
      version="$(nats_version "$found")"
      at_least "${version:-0}" "$nats_floor" ||
        fail "$found is too old" "it is nats-server ${version:-of an unknown version}; Landfall needs $nats_floor or newer" "correct or unset NATS_SERVER"
    fi
    echo "$found"
    return
  fi
  case "$name" in
  nats-server)
    found="$(command -v nats-server)" || return 0
    version="$(nats_version "$found")"
    if at_least "${version:-0}" "$nats_floor"; then
      echo "$found"
    else
      say "passing over $found: it is ${version:-of an unknown version}, and $nats_floor is the floor"
    fi
    ;;
  cargo-nextest | cargo-deny) command -v "$name" || true ;;
  chromium)
    found="$(command -v chromium || command -v chromium-headless-shell)" || return 0
    if "$found" --version >/dev/null 2>&1; then echo "$found"; fi
    ;;
  node)
    found="$(command -v node)" || return 0
    version="$("$found" --version 2>/dev/null)"
    if at_least "${version#v}" "$node_floor" && command -v npm >/dev/null; then echo "$found"; fi
    ;;
  *) ;;
  esac
}

fetch() {
  case "$1" in
  nats-server) fetch_plain nats-server trixie nats-server ;;
  nats-server-new) fetch_plain nats-server-new forky nats-server ;;
  restic) fetch_plain restic forky restic ;;
  restic-old) fetch_plain restic-old bookworm restic ;;
  rest-server) fetch_plain rest-server trixie restic-rest-server ;;
  borg) fetch_whole borg forky borgbackup usr/bin/borg ;;
  alertmanager) fetch_alertmanager ;;
  promtool) fetch_plain promtool trixie promtool ;;
  prometheus) fetch_plain prometheus trixie prometheus ;;
  python-aiosmtpd) fetch_whole python-aiosmtpd trixie python3-aiosmtpd "" ;;
  shellcheck) fetch_whole shellcheck trixie shellcheck usr/bin/shellcheck ;;
  faketime) fetch_library faketime bookworm libfaketime libfaketime.so.1 ;;
  cargo-nextest) fetch_crate cargo-nextest "$nextest_version" ;;
  cargo-deny) fetch_crate cargo-deny "$deny_version" ;;
  schemathesis) fetch_python schemathesis "$schemathesis_version" ;;
  chromium) fetch_chromium ;;
  node) fetch_node ;;
  playwright) fetch_playwright ;;
  borgmatic) fetch_python borgmatic "$borgmatic_version" ;;
  esac
}

# Where a fetched one lies.
kept_at() {
  case "$1" in
  faketime) echo "$tools/$1/lib/libfaketime.so.1" ;;
  playwright) echo "$tools/$1/package" ;;
  *) echo "$tools/$1/bin/$1" ;;
  esac
}

provide() {
  local name="$1" path
  path="$(own "$name")"
  if [ -z "$path" ]; then
    path="$(kept_at "$name")"
    if [ ! -e "$path" ]; then
      mkdir -p "$tools"
      # A second caller waits here and then finds the folder in its place. What an interrupted one left half-made is removed.
      exec 9>"$tools/.lock-$name"
      flock 9
      if [ ! -e "$path" ]; then
        rm -rf "${tools:?}/$name" "$tools/.new-$name."* "$tools/.build-$name."*
        fetch "$name"
      fi
      exec 9>&-
    fi
  fi
  echo "$path"
}

main() {
  local name
  if [ $# -eq 0 ]; then
    usage >&2
    exit 2
  fi
  for name in "$@"; do
    case "$name" in
    -h | --help)
      usage
      exit 0
      ;;
    nats-server | nats-server-new | restic | restic-old | rest-server | borg | alertmanager | promtool | prometheus | python-aiosmtpd | schemathesis | borgmatic | \
      shellcheck | faketime | cargo-nextest | cargo-deny | chromium | node | playwright) ;;
    *) fail "there is no tool called '$name'" "deploy/tools.sh knows a fixed list" "run deploy/tools.sh --help to see it" ;;
    esac
  done
  for name in "$@"; do provide "$name"; done
  # The shell reads a script as it goes: ended here, a change of this file during a long build cannot confuse it.
  exit 0
}

main "$@"
