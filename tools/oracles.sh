#!/bin/sh
# Programs that tests compare with. They are run as processes, never linked, and are not needed to use aimco.
set -eu

if command -v ngspice > /dev/null 2>&1; then
    echo "oracles: ngspice is here"
    exit 0
fi

if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null 2>&1; then
    echo "oracles: installing ngspice"
    export DEBIAN_FRONTEND=noninteractive
    if apt-get update -qq > /dev/null && apt-get install -qq -y --no-install-recommends ngspice > /dev/null; then
        exit 0
    fi
fi

echo "oracles: ngspice is missing (Debian and Ubuntu: apt-get install ngspice; macOS: brew install ngspice); tests that need it are skipped by name" >&2
if [ "${CI:-}" = true ]; then
    exit 1
fi
