#!/bin/sh
# The official Node 26 binary, with which we build, needs libatomic.so.1, which a minimal Debian or Ubuntu has
# not. Installs it where it is missing and we may; else says what to do. The executable needs it no more
# (libatomic.ts).
set -eu
node="$1"
"$node" --version >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing libatomic1, which Node needs ..." >&2
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Dpkg::Use-Pty=0 libatomic1 libstdc++6 >/dev/null
fi
"$node" --version >/dev/null 2>&1 && exit 0
echo "expected $node to start; it said:" >&2
"$node" --version >&2 || true
echo "install its libraries as root: apt-get install libatomic1 libstdc++6" >&2
exit 1
