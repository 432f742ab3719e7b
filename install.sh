#!/usr/bin/env bash
# Installs Gonvex from this clone, or runs its tests. See usage below, or ./install.sh --help.
set -euo pipefail

usage() {
  cat <<'END'
./install.sh [--prefix DIR] [--user] [--no-jupyter]
    Installs what is missing, builds gonvex, registers the Jupyter kernel and runs the
    quickstart notebook with it. Running it again is harmless and brings things up to date.
./install.sh --uninstall [--prefix DIR] [--user]
    Removes the binary, the kernel's registration and the private Jupyter.
    System packages stay.
./install.sh test
    Installs what the tests need and runs all of them, below build/. Your own
    installation is left alone.

  --prefix DIR    where to install: DIR/bin/gonvex, DIR/share/gonvex, DIR/share/jupyter.
                  Default: /usr/local as root, else ~/.local
  --user          the same as --prefix ~/.local, also as root
  --no-jupyter    no Jupyter: `gonvex exec NOTEBOOK` needs none
  -h, --help      this text

Needs Go (https://go.dev/dl) and, for what is missing, Debian's or Ubuntu's packages and PyPI.
END
}

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
NATIVE_PACKAGES=(libopenblas-dev liblapacke-dev pkg-config gcc libc6-dev)
STATICCHECK=honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOTESTSUM=gotest.tools/gotestsum@v1.13.0

# ---- talking ---------------------------------------------------------------------------

say() { printf '%s\n' "$*"; }
warn() { printf '  ! %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# die WHAT NEXT: the one way out on failure.
die() {
  printf '\ninstall.sh: %s\n' "$1" >&2
  printf '  what to do: %s\n' "$2" >&2
  if [ -s "$LOG" ]; then printf '  full log:   %s\n' "$LOG" >&2; fi
  exit 1
}

# logged CMD...: runs it with its output in the log.
logged() {
  printf '\n$ %s\n' "$*" >>"$LOG"
  "$@" >>"$LOG" 2>&1 </dev/null
}

# step TITLE NEXT CMD...: a logged command that must succeed; NEXT is the advice if it does not.
step() {
  local title=$1 next=$2 started=$SECONDS lines
  shift 2
  printf '==> %s' "$title"
  lines=$(wc -l <"$LOG")
  if logged "$@"; then
    printf ' (%ds)\n' $((SECONDS - started))
    return
  fi
  printf ': failed\n'
  tail -n +$((lines + 1)) "$LOG" | tail -n 20 | sed 's/^/    | /' >&2
  die "step \"$title\" failed" "$next"
}

# ---- the machine -----------------------------------------------------------------------

open_log() { # open_log NAME
  if ! mkdir -p "$ROOT/build" 2>/dev/null || ! : 2>/dev/null >"$ROOT/build/$1.log"; then
    BUILD=$(mktemp -d "${TMPDIR:-/tmp}/gonvex.XXXXXX") # a clone that belongs to someone else
  else
    BUILD=$ROOT/build
  fi
  LOG=$BUILD/$1.log
  : >"$LOG"
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif have sudo && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }; }; then
    sudo "$@"
  else
    return 77
  fi
}

apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -qy -o DPkg::Lock::Timeout=300 -o Acquire::Retries=2 "$@"
}

# packages PURPOSE NAME...: installs those Debian packages that are missing. Where it cannot,
# it says what to ask for and returns 1; the caller decides whether that matters.
packages() {
  local purpose=$1 name missing=()
  shift
  have dpkg-query || return 1
  for name; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'install ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] && ! as_root true 2>/dev/null; then
    warn "$purpose: ask your administrator for: apt-get install ${missing[*]}"
    return 1
  fi
  say "==> Debian packages for $purpose: ${missing[*]}"
  # The lists are often absent or old on a bare machine: refresh them only if that shows.
  logged apt_get install --no-install-recommends "${missing[@]}" ||
    { logged apt_get update && logged apt_get install --no-install-recommends "${missing[@]}"; } || {
    warn "$purpose: apt-get install ${missing[*]} failed; see $LOG"
    return 1
  }
}

find_go() {
  local dir wanted
  for dir in "" /usr/local/go/bin "$HOME/go/bin" "$HOME/.local/go/bin" /usr/lib/go/bin; do
    if PATH=$dir:$PATH have go; then
      PATH=${dir:+$dir:}$PATH
      break
    fi
  done
  wanted=$(sed -n 's/^go //p' "$ROOT/go.mod")
  have go || die "Go is not installed (or not in PATH; under sudo, PATH is often shorter)" \
    "install Go $wanted or newer from https://go.dev/dl, then run this again"
  # `go version` inside the clone fetches the toolchain that go.mod names when this one is older.
  if ! (cd "$ROOT" && logged go version); then
    die "$(go env GOVERSION 2>/dev/null || echo "this Go") is older than the $wanted that go.mod asks for, and could not fetch it" \
      "install Go $wanted or newer from https://go.dev/dl, then run this again"
  fi
}

native_ready() { have "$(go env CC)" && have pkg-config && pkg-config --exists openblas lapacke; }

# choose_backend exports CGO_ENABLED: 1 with OpenBLAS and LAPACKE, else 0, which is gonum alone.
choose_backend() {
  if ! native_ready; then
    packages "fast linear algebra (OpenBLAS, LAPACKE)" "${NATIVE_PACKAGES[@]}" || true
  fi
  export CGO_ENABLED=1
  if ! native_ready; then
    CGO_ENABLED=0
    warn "building without OpenBLAS: everything works, large problems are 5 to 20 times slower"
  fi
}

# go_tool PACKAGE@VERSION: a Go program the tests use, built below build/ and nowhere else.
go_tool() { GOBIN=$BUILD/bin CGO_ENABLED=0 logged go install "$1"; }

# ---- building --------------------------------------------------------------------------

build_binary() { # build_binary FILE
  local vcs=-buildvcs=auto
  # Go refuses to build when git refuses to look, as it does in a clone owned by someone else.
  git -C "$ROOT" status --porcelain >/dev/null 2>&1 || vcs=-buildvcs=false
  mkdir -p "$(dirname "$1")" &&
    (cd "$ROOT" && go build "$vcs" -ldflags "-s -w" -o "$1.new" ./kernel/gonvex) &&
    mv -f "$1.new" "$1" # a running kernel keeps its old file
}

# ---- Jupyter ---------------------------------------------------------------------------

jupyter_works() { [ -x "$1" ] && "$1" --version >/dev/null 2>&1; }

# make_venv DIR: an environment with pip, from the first Python that can make one. The
# system's comes first: an environment in /usr/local must not hang on one user's own Python.
make_venv() {
  local python
  for python in /usr/bin/python3 python3 python; do
    have "$python" || continue
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null || continue
    if logged "$python" -m venv --clear "$1"; then return 0; fi
    if [ "$python" = /usr/bin/python3 ] && packages "Python environments" python3-venv &&
      logged "$python" -m venv --clear "$1"; then return 0; fi
  done
  return 1
}

# pip_install DIR WHAT...: tries briefly, so that a machine without PyPI gets on.
pip_install() {
  local dir=$1
  shift
  logged "$dir/bin/python" -m pip install --disable-pip-version-check --no-input \
    --retries 2 --timeout 20 "$@"
}

# install_jupyter sets JUPYTER to a jupyter command, or to nothing where none can be had.
install_jupyter() {
  local venv=$PREFIX/share/gonvex/venv package
  JUPYTER=$venv/bin/jupyter
  if jupyter_works "$venv/bin/jupyter-lab"; then
    say "==> JupyterLab is in $venv"
    return
  fi
  say "==> JupyterLab into $venv"
  if ! have python3 && ! packages "Jupyter" python3 python3-venv; then
    warn "no Python 3"
  elif ! make_venv "$venv"; then
    warn "no Python here can make an environment"
  elif ! pip_install "$venv" 'jupyterlab>=4.2,<5'; then
    warn "JupyterLab could not be had from PyPI; trying Debian's packages"
  else
    return 0
  fi
  rm -rf "$venv"
  JUPYTER=$(command -v jupyter-lab || command -v jupyter-notebook || true)
  if [ -z "$JUPYTER" ]; then
    package=jupyter-notebook # everywhere; JupyterLab is in newer releases only
    if apt-cache show jupyterlab >/dev/null 2>&1; then package=jupyterlab; fi
    packages "Jupyter" $package || true
    hash -r
    JUPYTER=$(command -v jupyter-lab || command -v jupyter-notebook || true)
  fi
  if [ -n "$JUPYTER" ]; then
    say "    using $JUPYTER instead"
  else
    warn "no Jupyter: notebooks run with \`gonvex exec\`. To get one later: pip install jupyterlab, then $GONVEX doctor; see $LOG"
  fi
}

# register tells Jupyter of the binary: in the prefix, and in the private environment, whose
# Jupyter then starts this binary whatever else is registered.
register() {
  "$GONVEX" install "${REGISTER[@]}" &&
    { [ ! -d "$PREFIX/share/gonvex/venv" ] || "$GONVEX" install --prefix "$PREFIX/share/gonvex/venv"; }
}

# opening NOTEBOOK prints the line that opens it.
opening() {
  local line=
  case $JUPYTER in
    "") say "\"$GONVEX\" exec $1     (no Jupyter on this machine)" && return ;;
    */jupyter) line="$JUPYTER lab" ;;
    *)
      line=$JUPYTER
      # A Jupyter from elsewhere searches its own folders and the system's, not any prefix.
      case $PREFIX in
        /usr/local | /usr | "$HOME/.local") ;;
        *) line="JUPYTER_PATH=$PREFIX/share/jupyter $line" ;;
      esac
      ;;
  esac
  [ "$(id -u)" != 0 ] || line="$line --allow-root"
  say "$line $1"
}

# ---- the three commands ----------------------------------------------------------------

choose_prefix() {
  if [ -z "$PREFIX" ]; then
    PREFIX=$HOME/.local
    [ "$(id -u)" != 0 ] || PREFIX=/usr/local
  fi
  case $PREFIX in /*) ;; *) PREFIX=$PWD/$PREFIX ;; esac
  PREFIX=${PREFIX%/}
  [ -n "$PREFIX" ] || die "the prefix / is not a place to install into" "give --prefix /usr/local"
  GONVEX=$PREFIX/bin/gonvex
  REGISTER=(--prefix "$PREFIX")
  # Jupyter's folder in a home depends on the platform and the environment: gonvex knows it.
  [ "$PREFIX" != "$HOME/.local" ] || REGISTER=(--user)
}

install_gonvex() {
  if ! mkdir -p "$PREFIX/bin" "$PREFIX/share/gonvex" 2>>"$LOG" || ! [ -w "$PREFIX/bin" ]; then
    die "cannot write to $PREFIX" "run with --user (installs below ~/.local), or as root: sudo ./install.sh"
  fi
  find_go
  choose_backend
  # shellcheck disable=SC2016 # the advice is to be typed as it stands
  step "Go modules" 'check that the Go module proxy is reachable (go env GOPROXY), then run this again' \
    go -C "$ROOT" mod download
  step "build gonvex ($([ "$CGO_ENABLED" = 1 ] && echo "with OpenBLAS" || echo "pure Go"))" \
    "if a library or header is missing, install ${NATIVE_PACKAGES[*]}; CGO_ENABLED=0 go build ./kernel/gonvex builds without" \
    build_binary "$GONVEX"
  JUPYTER=
  [ "$WITH_JUPYTER" = no ] || install_jupyter
  step "register the kernel" "see what is there with: $GONVEX doctor" register
}

run_quickstart() {
  local out=$BUILD/01_quickstart.ipynb page=$BUILD/01_quickstart.html
  say "==> notebooks/01_quickstart.ipynb"
  # --print: the cells tagged "result" hold the objective, the certified bound and the gap.
  if ! "$GONVEX" exec "$ROOT/notebooks/01_quickstart.ipynb" -o "$out" --html "$page" --print result 2>&1 | tee -a "$LOG" | sed 's/^/    /'; then
    die "the quickstart notebook failed" "look at the failing cell in $page, and at: $GONVEX doctor"
  fi
  say
  say "gonvex              $GONVEX"
  say "executed notebook   $out"
  say "the same as a page  $page"
  say "open it             $(opening "$out")"
  case :$PATH: in *":$PREFIX/bin:"*) ;; *) say "put it in PATH      export PATH=\"$PREFIX/bin:\$PATH\"" ;; esac
}

uninstall() {
  if [ -x "$GONVEX" ]; then
    # Not registered is fine: uninstalling twice is.
    logged "$GONVEX" install "${REGISTER[@]}" --remove || true
  fi
  rm -rf "$GONVEX" "$PREFIX/share/gonvex" ||
    die "cannot remove $GONVEX and $PREFIX/share/gonvex" "run as their owner: sudo ./install.sh --uninstall --prefix $PREFIX"
  say "Gonvex is no longer in $PREFIX. System packages and $ROOT stay."
}

# ---- tests -----------------------------------------------------------------------------

PASSED=0 FAILED=0 SKIPPED=0

# check TITLE CMD...: one test, passed when the command succeeds.
check() {
  local title=$1 started=$SECONDS lines
  shift
  lines=$(wc -l <"$LOG")
  if logged "$@"; then
    PASSED=$((PASSED + 1))
    say "ok    $title ($((SECONDS - started))s)"
  else
    FAILED=$((FAILED + 1))
    say "FAIL  $title ($((SECONDS - started))s)"
    tail -n +$((lines + 1)) "$LOG" | tail -n 40 | sed 's/^/      | /'
  fi
}

# suite TITLE REPORT CMD...: a command that leaves a JUnit report; every test in it counts.
suite() {
  local title=$1 report=$2 started=$SECONDS lines cases=0 failed=0 skipped=0 status=0
  shift 2
  rm -f "$report"
  lines=$(wc -l <"$LOG")
  logged "$@" || status=$?
  if [ -s "$report" ]; then
    cases=$(elements testcase) failed=$(elements 'failure|error') skipped=$(elements skipped)
  fi
  # A runner that broke off has failed, whatever its report counted; so has one that ran nothing.
  if [ "$failed" = 0 ] && { [ $status != 0 ] || [ "$cases" = 0 ]; }; then
    failed=1 cases=$((cases + 1))
  fi
  PASSED=$((PASSED + cases - failed - skipped)) FAILED=$((FAILED + failed)) SKIPPED=$((SKIPPED + skipped))
  if [ "$failed" = 0 ]; then
    say "ok    $title: $((cases - skipped)) passed, $skipped skipped ($((SECONDS - started))s)"
  else
    say "FAIL  $title: $failed of $cases failed ($((SECONDS - started))s)"
    tail -n +$((lines + 1)) "$LOG" | tail -n 80 | sed 's/^/      | /'
  fi
}

# elements NAME: how many of them the report has. grep fails when there are none.
elements() { { grep -oE "<($1)[ />]" "$report" || true; } | wc -l; }

unformatted() { # prints Go files that gofmt would change, and fails if there are any
  local files
  files=$(find . -name '*.go' -not -path './build/*' -print0 | xargs -0 gofmt -l)
  printf '%s' "$files"
  [ -z "$files" ]
}

reinstall_and_uninstall() {
  "$ROOT/install.sh" --prefix "$PREFIX" && # a second time: nothing to do, and it must still work
    "$ROOT/install.sh" --prefix "$PREFIX" --uninstall &&
    "$ROOT/install.sh" --prefix "$PREFIX" --uninstall &&
    [ ! -e "$PREFIX/bin/gonvex" ] && [ ! -e "$PREFIX/share/gonvex" ] &&
    [ ! -e "$PREFIX/share/jupyter/kernels/gonvex" ]
}

run_tests() {
  local python
  cd "$ROOT"
  # Nothing here may read or change the user's own Jupyter.
  export JUPYTER_CONFIG_DIR=$BUILD/jupyter/config JUPYTER_DATA_DIR=$BUILD/jupyter/data JUPYTER_RUNTIME_DIR=$BUILD/jupyter/runtime
  PREFIX=$BUILD/prefix
  choose_prefix
  say "Testing in $BUILD (log: $LOG)"
  packages "the browser test" chromium || true
  packages "the Fashion-MNIST tests" dataset-fashion-mnist || true
  # The packages of Slurm and sshd set up services, which only a machine of one's own for tests should have.
  [ "$(id -u)" != 0 ] || packages "the Slurm, MPI and ssh tests" slurmctld slurmd slurm-client munge openmpi-bin libopenmpi-dev openssh-server || true
  [ -d "$BUILD/prefix" ] && rm -rf "$BUILD/prefix"
  find_go
  choose_backend
  step "tools for the tests" "check that the Go module proxy is reachable, then run this again" \
    test_tools

  check "gofmt" unformatted
  check "install.sh installs" "$ROOT/install.sh" --prefix "$PREFIX"
  check "go vet" go vet ./...
  check "staticcheck" "$BUILD/bin/staticcheck" ./...
  suite "Go tests" "$BUILD/go.xml" \
    "$BUILD/bin/gotestsum" --format pkgname --junitfile "$BUILD/go.xml" -- -timeout 20m ./...
  if [ "$CGO_ENABLED" = 1 ]; then # the race detector needs cgo
    suite "Go tests with the race detector" "$BUILD/race.xml" \
      "$BUILD/bin/gotestsum" --format pkgname --junitfile "$BUILD/race.xml" -- -race -timeout 20m \
      ./kernel/transport/... ./kernel/server/... ./kernel/worker/... ./kernel/display/...
    suite "Go tests without OpenBLAS" "$BUILD/purego.xml" env CGO_ENABLED=0 \
      "$BUILD/bin/gotestsum" --format pkgname --junitfile "$BUILD/purego.xml" -- -timeout 20m ./lapack/... ./convex/...
  fi

  python=$PREFIX/share/gonvex/venv/bin/python
  check "Python packages for the tests" pip_install "$PREFIX/share/gonvex/venv" -r kernel/gonvex/e2e/requirements.txt
  suite "Jupyter, notebooks and browser" "$BUILD/e2e.xml" \
    env GONVEX="$GONVEX" BUILD="$BUILD" "$python" -m pytest -ra --junitxml "$BUILD/e2e.xml" kernel/gonvex/e2e
  check "install.sh again, then --uninstall twice" reinstall_and_uninstall

  say "log $LOG, pictures of the browser test in $BUILD/screenshots, $((SECONDS / 60)) min $((SECONDS % 60)) s"
  if [ $SKIPPED = 0 ]; then
    say "$PASSED passed, $FAILED failed"
  else
    say "$PASSED passed, $FAILED failed, $SKIPPED skipped"
  fi
  [ $FAILED = 0 ]
}

test_tools() { go_tool $STATICCHECK && go_tool $GOTESTSUM; }

# ---- main ------------------------------------------------------------------------------

main() {
  local command=install
  PREFIX='' WITH_JUPYTER=yes LOG=/dev/null
  : "${HOME:=$(getent passwd "$(id -u)" | cut -d: -f6)}" # unset under some service managers
  export HOME
  while [ $# -gt 0 ]; do
    case $1 in
      --prefix)
        [ $# -ge 2 ] || die "--prefix needs a folder" "./install.sh --prefix DIR"
        PREFIX=$2
        shift
        ;;
      --prefix=*) PREFIX=${1#*=} ;;
      --user) PREFIX=$HOME/.local ;;
      --no-jupyter) WITH_JUPYTER=no ;;
      --uninstall | uninstall) command='uninstall' ;;
      test) command='test' ;;
      -h | --help) usage && exit ;;
      *) die "unknown argument $1" "./install.sh --help" ;;
    esac
    shift
  done
  open_log "$command"
  case $command in
    install)
      choose_prefix
      say "Installing Gonvex into $PREFIX (log: $LOG)"
      install_gonvex
      run_quickstart
      ;;
    uninstall)
      choose_prefix
      uninstall
      ;;
    test) run_tests ;;
  esac
}

main "$@"
