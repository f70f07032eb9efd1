#!/usr/bin/env bash
# venv.sh FOLDER REQUIREMENT: a virtual environment with lading in it, editable. Safe to repeat.
set -euo pipefail
venv=$1 what=$2
python=${PYTHON:-python3}
command -v "$python" >/dev/null || { echo "lading needs Python 3.11 or newer: apt-get install python3" >&2; exit 2; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "lading needs Python 3.11 or newer; $python is $("$python" -V)" >&2; exit 2; }
if [ ! -x "$venv/bin/pip" ]; then
  rm -rf "$venv"
  if ! "$python" -m venv "$venv" 2>/tmp/lading-venv.$$; then
    rm -rf "$venv"
    # Debian's python3 comes without ensurepip.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
      "$python" -m venv "$venv"
    else
      cat /tmp/lading-venv.$$ >&2
      echo "the venv module is missing: sudo apt-get install python3-venv, then run this again" >&2
      exit 2
    fi
  fi
  rm -f /tmp/lading-venv.$$
fi
echo "installing lading into $venv …"
"$venv/bin/pip" install --quiet --disable-pip-version-check -e "$what" 2> >(grep -v 'is ignored: it is neither a file' >&2)
