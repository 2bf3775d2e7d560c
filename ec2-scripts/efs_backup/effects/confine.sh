#!/bin/sh
# Runs a tool that sees nothing of this machine but its programs and the trees it is given.
#
#   confine.sh ROOT [ro|rw FROM TO DEVICE:INODE ...] -- TOOL [ARGUMENT ...]
#
# Called in mount and process namespaces of its own (unshare), as their first process. ROOT is an empty directory on
# which the tool's world is built; each FROM is seen there as TO. A path can be swapped for a symbolic link between the
# moment it was looked at and now, so what was bound must have the given device and inode numbers. The tool's programs
# come from this machine's /usr (and /bin, /lib... where they are not links into it).
set -eu
root=$1
shift
mount -t tmpfs -o mode=0755,size=4m tmpfs "$root"
# /etc/alternatives: where Debian's awk is looked up.
for system in /usr /bin /sbin /lib /lib32 /lib64 /libx32 /etc/alternatives; do
    if [ -L "$system" ]; then
        cp -P "$system" "$root$system"
    elif [ -d "$system" ]; then
        mkdir -p "$root$system"
        mount --rbind "$system" "$root$system"
        mount -o remount,bind,ro "$root$system" 2>/dev/null || true
    fi
done
while [ "$1" != -- ]; do
    mkdir -p "$root$3"
    mount --bind -- "$2" "$root$3"
    if [ "$(stat -c %d:%i -- "$root$3")" != "$4" ]; then
        echo "$2 is no longer the directory it was" >&2
        exit 98
    fi
    if [ "$1" = ro ]; then mount -o remount,bind,ro -- "$root$3"; fi
    shift 4
done
shift
mkdir -p "$root/proc" "$root/tmp" "$root/dev" "$root/.put-away"
mount -t proc proc "$root/proc"
for device in null zero urandom; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
cd "$root"
pivot_root . .put-away
# From here on the rest of the machine is gone for this process and all it starts.
umount -l /.put-away
cd /
exec "$@"
