# Run by `unshare --mount --pid --fork`: unpacks Debian's packages over this system where only this process sees it, and
# becomes the mail server. Everything ends with it. DEBS: folder with the packages. HERE: a folder to share, with
# `passwd` and `group` (lines to add) and `start` (the server's own part).
set -euo pipefail
debs=$1 here=$2
mkdir "$here/layer"
mount -t tmpfs none "$here/layer"
mkdir "$here"/layer/{upper,work,root}
root=$here/layer/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$here/layer/upper,workdir=$here/layer/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mkdir -p "$root$here"
mount --bind "$here" "$root$here"
for deb in "$debs"/*.deb; do
  dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$root"
done
cat "$here/passwd" >>"$root/etc/passwd"
cat "$here/group" >>"$root/etc/group"
# Not exec: the kernel forgets to end with its parent whoever changes users, as mail servers do.
chroot "$root" /bin/bash -eu "$here/start"
