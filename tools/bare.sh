#!/usr/bin/env bash
# Runs make targets as somebody with a new Debian would: a root by debootstrap that holds what README.md says to
# install and nothing else, a clone of HEAD, the commands. Usage: tools/bare.sh [TARGET ...] (default: demo test)
# Needs root and debootstrap. SUITE names another release; KEEP=1 leaves the root behind; AS=USER runs the targets
# as an ordinary user, who is created.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- demo test
suite="${SUITE:-bookworm}"
[ "$(id -u)" = 0 ] || { echo "error: making a Debian root needs root" >&2; echo "hint: sudo make test-bare" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "error: debootstrap is not installed" >&2
  echo "hint: apt-get install debootstrap" >&2; exit 1; }

# What README.md tells people to install, word for word.
packages=$(sed -n 's/^ *sudo apt-get install \(.*\)$/\1/p' README.md | head -1)
[ -n "$packages" ] || { echo "error: README.md names no packages" >&2; exit 1; }
mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 2>/dev/null | awk -v suite="$suite" '$2 == suite {print $1; exit}')
mirror=${mirror:-$(apt-get indextargets --format '$(SITE)' 2>/dev/null | head -1)}

cache="${XDG_CACHE_HOME:-$HOME/.cache}/keepstep/bare-$suite.tar"
root=$(mktemp -d /var/tmp/keepstep-bare.XXXXXX)
clean() { [ -n "${KEEP:-}" ] && echo "left behind: $root" >&2 || rm -rf --one-file-system "$root"; }
trap clean EXIT
if [ ! -e "$cache" ]; then
  echo "bare: debootstrap $suite" >&2
  debootstrap --variant=minbase "$suite" "$root" ${mirror:+"$mirror"} >"$root.log" || { tail -20 "$root.log" >&2; exit 1; }
  rm -f "$root.log"
  mkdir -p "$(dirname "$cache")"
  tar -C "$root" --exclude='./var/cache/apt/archives/*.deb' -cf "$cache.$$" . && mv "$cache.$$" "$cache"
else
  tar -C "$root" -xf "$cache"
fi
chmod 755 "$root"

# The way to the registries is this machine's own: names, certificates, package sources and their settings.
for path in /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/xdg/pip "$HOME/.config/pip" "$HOME/.config/uv"; do
  [ -e "$path" ] || continue
  mkdir -p "$root$(dirname "$path")"
  cp -rL "$path" "$root$(dirname "$path")/"
done
certificates=()
if [ -n "${SSL_CERT_FILE:-}" ]; then
  cp -L "$SSL_CERT_FILE" "$root/etc/certificates.crt"
  certificates=(SSL_CERT_FILE=/etc/certificates.crt PIP_CERT=/etc/certificates.crt)
  echo 'Acquire::https::CAInfo "/etc/certificates.crt";' >"$root/etc/apt/apt.conf.d/90certificates"
fi
if [ "$suite" = "$(. /etc/os-release; echo "${VERSION_CODENAME:-}")" ]; then
  cp -rL /etc/apt/sources.list.d /etc/apt/trusted.gpg.d "$root/etc/apt/"
  rm -f "$root/etc/apt/sources.list"
  [ ! -e /etc/apt/sources.list ] || cp -L /etc/apt/sources.list "$root/etc/apt/"
fi
git clone --quiet --no-hardlinks . "$root/root/keepstep"

cat >"$root/root/run" <<INSIDE
set -euo pipefail
cd /root/keepstep
apt-get update -qq >/dev/null
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y $packages >/dev/null 2>&1
run=()
if [ -n "\${AS:-}" ]; then
  useradd --create-home "\$AS"
  cp -r /root/keepstep /root/.config "/home/\$AS/" 2>/dev/null || true
  chown -R "\$AS:" "/home/\$AS"
  cd "/home/\$AS/keepstep"
  run=(setpriv --reuid="\$AS" --regid="\$AS" --init-groups env HOME="/home/\$AS")
fi
for target in $*; do
  echo "bare: make \$target" >&2
  began=\$SECONDS
  "\${run[@]}" make "\$target"
  echo "bare: make \$target took \$((SECONDS - began)) s; .venv holds \$(du -sm .venv | cut -f1) MB" >&2
done
INSIDE

# A mount and process namespace of its own, so that nothing of the machine is touched and nothing is left running.
passed=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM="${TERM:-dumb}" "${certificates[@]}")
for name in CI AS PIP_DEFAULT_TIMEOUT http_proxy https_proxy HTTP_PROXY HTTPS_PROXY no_proxy NO_PROXY; do
  [ -z "${!name:-}" ] || passed+=("$name=${!name}")
done
unshare --mount --pid --fork --kill-child --propagation private bash -euc '
  mount --bind "$1" "$1"
  for path in /dev /sys; do mount --rbind "$path" "$1$path"; done
  mount -t proc proc "$1/proc"
  mkdir -p "$1/.outside" && cd "$1" && pivot_root . .outside && cd / && umount -l /.outside && rmdir /.outside
  shift
  exec env -i "$@" bash /root/run' - "$root" "${passed[@]}"
