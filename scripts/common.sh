# Sourced by run and test: where things are, and system packages when they are missing.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
tools=$root/.tools

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

# need COMMAND:PACKAGE ... installs the packages whose commands are missing, asking for nothing.
need() {
    local pair packages=()
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || packages+=("${pair#*:}")
    done
    [ ${#packages[@]} -eq 0 ] && return 0
    local become=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! sudo -n true 2>/dev/null; then
            fail "missing system packages, install them first: sudo apt-get install ${packages[*]}"
        fi
        become=(sudo -n)
    fi
    command -v apt-get >/dev/null 2>&1 ||
        fail "missing system packages, install what this system calls: ${packages[*]}"
    say "installing system packages: ${packages[*]}"
    local install=("${become[@]}" env DEBIAN_FRONTEND=noninteractive
        apt-get install -y -qq --no-install-recommends "${packages[@]}")
    "${install[@]}" >/dev/null 2>&1 </dev/null && return 0
    # The lists may be missing or old; say what goes wrong the second time.
    "${become[@]}" apt-get update -qq >/dev/null </dev/null || true
    "${install[@]}" >/dev/null </dev/null ||
        fail "apt-get could not install: ${packages[*]}"
}

need_cargo() {
    command -v cargo >/dev/null 2>&1 || {
        [ -x "$HOME/.cargo/bin/cargo" ] && PATH=$HOME/.cargo/bin:$PATH
    }
    command -v cargo >/dev/null 2>&1 || fail "cargo is missing: install Rust from https://rustup.rs"
}

# The C compiler and make are for jemalloc and liburing, which are built from source.
need_build_tools() {
    need cc:gcc make:make
    [ -e /usr/include/stdlib.h ] || need no-such-command:libc6-dev
    need_cargo
}
