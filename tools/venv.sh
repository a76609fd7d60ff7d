#!/usr/bin/env bash
# Makes .venv from requirements.lock, every file checked against its hash. Usage: tools/venv.sh PYTHON
set -euo pipefail
python="${1:-python3}"

command -v "$python" >/dev/null || { echo "error: no $python on this machine" >&2
  echo "hint: sudo apt-get install python3 python3-venv" >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "error: $("$python" -V) is too old; keepstep needs Python 3.11 or newer" >&2
  echo "hint: make PYTHON=python3.12 …" >&2; exit 1; }

# Debian ships ensurepip apart from Python.
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
  package="$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
  if [ "$(id -u)" = 0 ]; then sudo=(); elif sudo -n true 2>/dev/null; then sudo=(sudo); else
    echo "error: $python cannot make virtual environments here" >&2
    echo "hint: sudo apt-get install $package" >&2; exit 1
  fi
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y "$package" >/dev/null
fi

[ -x .venv/bin/uv ] || {
  rm -rf .venv
  "$python" -m venv .venv
  # uv installs the rest ten times faster than pip; its own version and hash come from the lock file too.
  awk '/^uv==/{on=1} on{print} on&&!/\\$/{exit}' requirements.lock > .venv/uv.lock
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.lock
}
export VIRTUAL_ENV="$PWD/.venv"
.venv/bin/uv pip sync --quiet --require-hashes --compile-bytecode requirements.lock
.venv/bin/uv pip install --quiet --no-deps --no-build-isolation --editable . --editable ./localcloud
