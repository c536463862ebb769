# Sourced by the entry points of perf/: builds what they start, quietly, and starts it.
# PERF_PROFILE chooses the cargo profile (release unless set; `test-server` builds quicker and is
# good for trying a tool out, not for figures).

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
profile=${PERF_PROFILE:-release}
target=${CARGO_TARGET_DIR:-$root/target}

build() { # package binary
    if ! cargo build --quiet --manifest-path "$root/Cargo.toml" --profile "$profile" -p "$1" --bin "$2"; then
        echo "building $2 failed" >&2
        exit 1
    fi
}

wants_help() { # arguments
    local argument
    for argument in "$@"; do
        case $argument in -h | --help | -V | --version) return 0 ;; esac
    done
    return 1
}

# Starts a tool. A tool that measures a server of ours gets it built too, unless the arguments or
# RINGLANE_BINARY name one.
run_tool() { # tool needs-server arguments...
    local tool=$1 needs_server=$2
    shift 2
    build ringlane-perf "ringlane-$tool"
    if [ "$needs_server" = server ] && [ -z "${RINGLANE_BINARY:-}" ] && ! wants_help "$@"; then
        case " $* " in
            *" --server "* | *" --server="*) ;;
            *)
                build ringlane ringlane
                export RINGLANE_BINARY=$target/$profile/ringlane
                ;;
        esac
    fi
    exec "$target/$profile/ringlane-$tool" "$@"
}
