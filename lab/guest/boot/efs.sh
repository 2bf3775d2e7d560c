#!/bin/bash
# efs.sh DIRECTORY: serve it as / by NFSv4.1, in the network (and the mounts) that this is started in, as EFS does.
set -eu
mount -t tmpfs tmpfs /var/lib/nfs
touch /var/lib/nfs/{etab,rmtab,exports}
mount --bind /var/lib/nfs/exports /etc/exports
mount -t nfsd nfsd /proc/fs/nfsd
echo "$1 *(rw,sync,no_root_squash,no_subtree_check,fsid=0,insecure)" >/etc/exports
exportfs -ra
rpc.mountd -N 2 -N 3
rpc.nfsd --no-udp -N 3 -N 4.2 --grace-time 10 16 # EFS has no 4.2
