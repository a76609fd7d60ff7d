#!/usr/bin/env bash
# Installs what the tests use of Debian, tools/debian-packages.txt, where that can be done; says so where it cannot.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v dpkg-query >/dev/null || exit 0
mapfile -t wanted < <(sed 's/#.*//; s/[[:space:]]*$//; /^$/d' tools/debian-packages.txt)
missing=()
for package in "${wanted[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" = 0 ]; then sudo=(); elif sudo -n true 2>/dev/null; then sudo=(sudo); else
  echo "note: tests that need ${missing[*]} are skipped" >&2
  echo "hint: sudo apt-get install --no-install-recommends ${missing[*]}" >&2; exit 0
fi
{ "${sudo[@]}" apt-get update -qq &&
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}"; } >/dev/null ||
  echo "note: ${missing[*]} could not be installed; tests that need them are skipped" >&2
