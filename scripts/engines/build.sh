#!/usr/bin/env bash
# Builds the engines that the tests run against, Kubo (`ipfs`) and geth, at the versions that the go.mod files beside
# this script pin, into .engines/ at the root of the repository.
#
# An engine on the PATH is used as it is; one built from the same go.mod and go.sum before is kept. Without Go an engine
# stays missing and the tests that need it skip, unless CI=true, where a missing engine is a failure.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
out="$(cd "$here/../.." && pwd)/.engines"
mkdir -p "$out"

missing=0

# build NAME MODULE PACKAGE: make $out/NAME from PACKAGE, in the module at $here/MODULE.
build() {
    local name="$1" module="$here/$2" package="$3" found part
    if found="$(command -v "$name")"; then
        echo "engines: $name is on the PATH: $found"
        return
    fi
    if [ -x "$out/$name" ] && [ "$out/$name" -nt "$module/go.mod" ] && [ "$out/$name" -nt "$module/go.sum" ]; then
        return
    fi
    if ! command -v go >/dev/null; then
        echo "engines: no $name: install it, or install Go so that it can be built; tests that need it will skip" >&2
        missing=1
        return
    fi
    echo "engines: building $name, once, for some minutes"
    part="$(mktemp -d "$out/.build.XXXXXX")"
    trap 'rm -rf "$part"' EXIT
    (cd "$module" && go build -mod=readonly -trimpath -o "$part/$name" "$package")
    mv -f "$part/$name" "$out/$name" # within one file system: whoever looks sees no engine or a whole one
    rmdir "$part"
    trap - EXIT
}

build ipfs kubo github.com/ipfs/kubo/cmd/ipfs
build geth geth github.com/ethereum/go-ethereum/cmd/geth

if [ "$missing" -ne 0 ] && [ "${CI:-}" = true ]; then
    echo "engines: with CI=true a missing engine is a failure" >&2
    exit 1
fi
