#!/usr/bin/env bash
# Unpacks database servers that the machine's own Debian does not carry into .cache/database-servers, for the tests.
# Usage: tools/database-servers.sh [mysql] [mariadb] [postgresql]; without names all of them.
#
# They come from the suite sid of the mirror that apt is configured with. apt works in a state of its own, so nothing
# is installed and nothing of the machine changes. Each server runs with its own libc, by a wrapper for its programs.
set -euo pipefail
cd "$(dirname "$0")/.."
root="$PWD/.cache/database-servers"
[ $# -gt 0 ] || set -- mysql mariadb postgresql

note() { echo "note: $1; tests that need it are skipped" >&2; exit 0; }

wanted=()
for name; do [ -e "$root/$name/version" ] || wanted+=("$name"); done
[ ${#wanted[@]} -gt 0 ] || exit 0
for program in apt-get dpkg-deb flock; do
  command -v "$program" >/dev/null || note "no $program, so no ${wanted[*]}"
done

mkdir -p "$root"
exec 9>"$root/lock"
flock 9

apt="$root/apt"
mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/parts"
: >"$apt/status"
mirror="$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | head -n 1)"
[ -n "$mirror" ] || note "apt knows no mirror of Debian, so no ${wanted[*]}"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >"$apt/sources.list"
apt_get() {
  apt-get -qq -o Dir::State="$apt" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt" \
    -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts="$apt/parts" \
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts="$apt/parts" -o APT::Sandbox::User="$(id -un)" \
    -o Debug::NoLocking=true -o Acquire::Check-Valid-Until=false "$@"  # a mirror may lag
}
apt_get update >/dev/null || note "Debian's suite sid is out of reach, so no ${wanted[*]}"

# The programs of a server, by name, and its package.
programs() {
  case "$1" in
    mysql) echo usr/sbin/mysqld ;;
    mariadb) echo usr/sbin/mariadbd ;;
    postgresql) (cd "$2" && echo usr/lib/postgresql/*/bin/{postgres,initdb}) ;;
  esac
}
packages() {
  case "$1" in
    mysql) echo mysql-server-core ;;
    mariadb) echo mariadb-server-core mariadb-server ;;  # the second one for its plugins, without what it depends on
    postgresql) apt-cache -o Dir::State="$apt" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt" \
      -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts="$apt/parts" pkgnames postgresql- |
      grep -E '^postgresql-[0-9]+$' | sort -t- -k2n | tail -n 1 ;;
  esac
}

unpack() {
  local name="$1" folder="$root/$1.new" package loader program list
  read -ra list <<<"$(packages "$name")"
  [ ${#list[@]} -gt 0 ] || return 1
  rm -rf "$folder" && mkdir -p "$folder/archives"
  # Of what the server depends on only libraries are of use here.
  mapfile -t libraries < <(apt_get install --no-install-recommends --print-uris "${list[0]}" |
    sed -E "s/^'[^']*' ([^_]+)_.*/\1/" | grep -E '^(lib|zlib)' | grep -vE '^lib(c-l10n|perl|systemd-shared)|-perl$')
  [ ${#libraries[@]} -gt 0 ] || return 1
  (cd "$folder/archives" && apt_get download "${list[@]}" "${libraries[@]}") || return 1
  for package in "$folder"/archives/*.deb; do dpkg-deb -x "$package" "$folder" || return 1; done
  rm -rf "$folder/archives" "$folder"/usr/share/{doc,man,locale}
  loader="$(cd "$folder" && echo usr/lib/*/ld-linux-*.so.*)"
  for program in $(programs "$name" "$folder"); do
    mv "$folder/$program" "$folder/$program.real"
    cat >"$folder/$program" <<WRAPPER
#!/bin/sh
root="$root/$name"
exec "\$root/$loader" --library-path "\$root/${loader%/*}:\$root/usr/lib/mysql/private" --argv0 "\$0" "\$0.real" "\$@"
WRAPPER
    chmod 755 "$folder/$program"
  done
  dpkg_version "$name" >"$folder/version"
  chmod -R u+rwX,go+rX "$folder"
  rm -rf "${root:?}/$name" && mv "$folder" "$root/$name"
}
dpkg_version() {
  apt_get install --no-install-recommends --print-uris "$(packages "$1" | cut -d' ' -f1)" |
    sed -nE "s/^'[^']*' $(packages "$1" | cut -d' ' -f1)_([^_]+)_.*/\1/p" | sed -E 's/^[0-9]+%3a//; s/[-+].*//'
}

for name in "${wanted[@]}"; do
  unpack "$name" || echo "note: $name is not in Debian's suite sid today; tests that need it are skipped" >&2
done
