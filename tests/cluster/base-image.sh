#!/usr/bin/env bash
# Makes a stand-in for the official image python:3.13-slim-trixie out of Debian's own packages, for machines that reach a Debian
# mirror and no image registry, so that the Dockerfile is built unchanged. Needs root, debootstrap and buildah.
#
#     base-image.sh [BUILDAH OPTION]...     the options say where buildah keeps its images
set -euo pipefail
NAME=docker.io/library/python:3.13-slim-trixie
buildah "$@" images -q "$NAME" >/dev/null 2>&1 && exit 0

root=$(mktemp -d)
trap 'rm -rf "$root" "$root.containerfile" "$root.log"' EXIT
mirror=$({ cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null || true; } | # either may be missing
  sed -n -e 's/^URIs: *//p' -e 's/^deb \(\[.*\] \)\?\(http[^ ]*\).*/\2/p' | grep -v security | head -1)
echo "Making a stand-in for $NAME (half a minute, once)."
debootstrap --variant=minbase --no-check-gpg trixie "$root" "$mirror" >/dev/null

# What this machine needs to reach its mirrors; an ordinary machine has none of these.
cp /etc/apt/apt.conf.d/99* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
mkdir -p "$root/usr/local/share/ca-certificates"
cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
cp /etc/resolv.conf "$root/etc/"

chroot "$root" bash -ec '
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -yqq --no-install-recommends python3 python3-pip python3-venv ca-certificates
  update-ca-certificates
  apt-get clean
  rm -rf /var/lib/apt/lists/* /usr/lib/python3*/EXTERNALLY-MANAGED
  ln -s /usr/bin/python3 /usr/local/bin/python
  ln -s /usr/bin/python3 /usr/local/bin/python3' >"$root.log" 2>&1 || { cat "$root.log"; exit 1; }
: >"$root/etc/resolv.conf"

cat >"$root.containerfile" <<END
FROM scratch
COPY . /
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin
# npm trusts the authorities of this list beside its own; what the machine needs was added to it above.
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
CMD ["python3"]
END
buildah "$@" bud --isolation chroot -q -f "$root.containerfile" -t "$NAME" "$root" >/dev/null
