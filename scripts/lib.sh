# Sourced by the other scripts: where things are, and which Rust to use.
# shellcheck shell=bash

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$repository/target}
# The Arroyo plugin is a workspace of its own, with other versions of what it stands on.
plugin_target=$target/arroyo

# The toolchain that is installed where there is none or too old a one. Cargo.toml's rust-version is the least.
rust_toolchain=1.95.0

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Whether version $1 is at least version $2.
at_least() { [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$2" ]]; }

rust_is_ready() {
    local version least
    version=$(cargo --version 2>/dev/null | cut -d ' ' -f 2) || return 1
    least=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$repository/Cargo.toml")
    [[ -n $version ]] && at_least "$version" "$least"
}

# Puts a Rust that can build this repository on PATH; false if there is none. Also finds one that an earlier
# scripts/setup installed and that this shell does not know of yet.
use_rust() {
    (cd "$repository" && rust_is_ready) && return
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    (cd "$repository" && rust_is_ready) && return
    if rustup toolchain list 2>/dev/null | grep -q "^$rust_toolchain-"; then
        export RUSTUP_TOOLCHAIN=$rust_toolchain
    fi
    (cd "$repository" && rust_is_ready)
}
