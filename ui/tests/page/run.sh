#!/bin/sh
# Runs the page's tests against the program that PORTBOOK names; 77 says "skipped, and why".
[ "$(id -u)" = 0 ] || { echo "skipped: the page's tests capture real connections, which needs root"; exit 77; }
cd "$(dirname "$0")/../.." || exit 1
[ -d node_modules ] || npm ci --no-audit --no-fund --loglevel=error || exit 1
exec npm run --silent test:page
