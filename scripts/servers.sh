#!/usr/bin/env bash
# servers.sh [heavy]: the storage servers that the tests start, from Debian's packages, and Girder from PyPI; heavy: those of
# the tests marked so, too. Safe to repeat; nothing is started.
set -euo pipefail
cd "$(dirname "$0")/.."
# Each package with a program of it that the tests run, or another file of it.
wanted=(
  apache2-bin:apache2
  nginx-light:nginx
  openssh-server:sshd
  vsftpd:vsftpd
  xrootd-server:xrootd
  globus-gridftp-server-progs:globus-gridftp-server
  xrootd-client:xrdcp  # third-party copies run it
  "python3-gfal2:/usr/lib/python3/dist-packages/gfal2.*.so"  # no server: what storage type gfal runs
  "gfal2-plugin-file:/usr/lib/*/gfal2-plugins/libgfal_plugin_file.so"
  "gfal2-plugin-gridftp:/usr/lib/*/gfal2-plugins/libgfal_plugin_gridftp.so"
  "gfal2-plugin-mock:/usr/lib/*/gfal2-plugins/libgfal_plugin_mock.so"
  g++:g++          # compiles a shim for xrootd; brings the headers of C, which gcc alone does not
  openssl:openssl
)
if [ "${1:-}" = heavy ]; then
  wanted+=(
    ceph-common:ceph
    ceph-mon:ceph-mon
    ceph-mgr:ceph-mgr
    ceph-osd:ceph-osd
    radosgw:radosgw
    memcached:memcached
    swift-account:swift-account-server
    swift-container:swift-container-server
    swift-object:swift-object-server
    swift-proxy:swift-proxy-server
  )
fi
export PATH="$PATH:/usr/sbin:/sbin"
missing=()
for one in "${wanted[@]}"; do
  command -v "${one#*:}" >/dev/null || compgen -G "${one#*:}" >/dev/null || missing+=("${one%%:*}")
done
if [ ${#missing[@]} = 0 ]; then
  :
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing the storage servers that the tests start: ${missing[*]} …"
  # Debian starts what it installs, unless a policy forbids it: these are for the tests alone.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy
    trap 'rm -f $policy' EXIT
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "the tests start storage servers that are not installed: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 2
fi
# Girder is on PyPI, with a hundred packages that are nobody else's affair: a venv of its own.
girder=.servers/girder
pins=tests/storage_plugins/girder-requirements.txt
if ! cmp -s $pins $girder/installed; then
  echo "installing Girder for the tests into $girder …"
  rm -rf $girder
  "${PYTHON:-python3}" -m venv $girder
  $girder/bin/pip install --quiet --disable-pip-version-check --no-deps -r $pins 2> >(grep -v 'is ignored: it is neither a file' >&2)
  cp $pins $girder/installed
fi
