#!/bin/bash
# A library: an NFSv4.1 server that behaves as Amazon EFS does where it can, and clients of it, each a network namespace
# with a host name, an address and mounts of its own.
#
#   server_start [async|sync] [squash]   export $SERVER/source and $SERVER/backup (on tmpfs)
#   client_add NAME INDEX                a client machine; INDEX is unique, 1 to 250
#   client_mount NAME [MOUNT OPTIONS]    mount both exports at /mnt/NAME/source and /mnt/NAME/backup, caches cold
#   client_umount NAME
#   latency NAME MILLISECONDS            there and back
#   upload NAME KBIT                     how much the client can send in a second, at most, until the next `latency`
#   unplug NAME / plug NAME               take the client off the network, and put it back
#   server_restart                       the server forgets all it held in memory
#   server_freeze / server_thaw          the server answers nobody; then it does again
#   in_client NAME COMMAND ...           run a command with the client's network and host name

SERVER=/srv/lab
LEASE=${LEASE:-90} # seconds; EFS's is not documented, 90 is the Linux server's own
GRACE=${GRACE:-10}
MOUNT_OPTIONS=vers=4.1,noresvport,hard,timeo=600,retrans=2,rsize=1048576,wsize=1048576
CLIENTS=()
declare -A DELAY=()

server_start() {
    local commit=${1:-async} squash=no_root_squash name
    [ "${2:-}" = squash ] && squash=root_squash
    modprobe -a nfsd nfs nfsv4 sch_netem veth
    for name in source backup; do
        mkdir -p $SERVER/$name
        mountpoint -q $SERVER/$name || mount -t tmpfs -o size=6g,nr_inodes=4m,mode=755 tmpfs $SERVER/$name
    done
    mountpoint -q /proc/fs/nfsd || mount -t nfsd nfsd /proc/fs/nfsd
    mkdir -p /run/rpcbind /run/netns /var/lib/nfs/rpc_pipefs
    mountpoint -q /var/lib/nfs/rpc_pipefs || mount -t rpc_pipefs rpc_pipefs /var/lib/nfs/rpc_pipefs
    # EFS gives no delegations; without leases in the kernel the Linux server gives none either.
    echo 0 >/proc/sys/fs/leases-enable
    {
        echo "$SERVER/source *(rw,$squash,no_subtree_check,fsid=1,insecure,$commit)"
        echo "$SERVER/backup *(rw,$squash,no_subtree_check,fsid=2,insecure,$commit)"
    } >/etc/exports
    pidof rpcbind >/dev/null || rpcbind -w
    pidof nfsdcld >/dev/null || nfsdcld
    exportfs -ra
    pidof rpc.mountd >/dev/null || rpc.mountd -N 3
    server_threads
}

server_threads() {
    local try
    for try in 1 2 3 4 5; do
        rpc.nfsd --no-udp -N 3 --lease-time "$LEASE" --grace-time "$GRACE" 64
        if [ "${1:-}" = with-grace ] || echo Y >/proc/fs/nfsd/v4_end_grace; then return 0; fi
        sleep "$try" # on a busy host what the server leans on may not be up yet
    done
    return 1
}

server_stop() { rpc.nfsd 0; }

server_restart() {
    server_stop
    sleep "${1:-1}"
    server_threads with-grace
}

in_client() {
    local name=$1
    shift
    # The host name is part of the identity by which the server knows a client.
    # shellcheck disable=SC2016 # the inner shell expands them
    unshare --uts nsenter --net="/run/netns/$name" bash -c 'hostname "$0"; exec "$@"' "$name" "$@"
}

client_add() {
    local name=$1 index=$2
    ip netns add "$name"
    # 9001 bytes: what instances have in a VPC
    ip link add "v$name" mtu 9001 type veth peer name eth0 mtu 9001 netns "$name"
    ip addr add "10.77.$index.1/24" dev "v$name"
    ip link set "v$name" up
    ip -n "$name" addr add "10.77.$index.2/24" dev eth0
    ip -n "$name" link set eth0 up
    ip -n "$name" link set lo up
    # The delay is set while the queues are empty and changed later: a queue that is replaced drops what it holds.
    tc qdisc add dev "v$name" root netem limit 100000 delay 0
    tc -n "$name" qdisc add dev eth0 root netem limit 100000 delay 0
    echo "10.77.$index.1" >"/run/lab-server-$name"
    CLIENTS+=("$name")
    latency "$name" 0
}

client_mount() {
    local client=$1 extra=${2:+,$2} tree
    for tree in source backup; do
        mkdir -p "/mnt/$client/$tree"
        in_client "$client" mount -t nfs4 -o "$MOUNT_OPTIONS$extra" \
            "$(cat "/run/lab-server-$client"):$SERVER/$tree" "/mnt/$client/$tree"
    done
}

client_umount() {
    local client=$1 tree
    for tree in source backup; do
        if mountpoint -q "/mnt/$client/$tree"; then umount "${@:2}" "/mnt/$client/$tree"; fi
    done
}

client_remount() {
    client_umount "$1"
    client_mount "$@"
}

_link() { # NAME MILLISECONDS LOSS: shape both directions
    local half="$(($2 * 1000 / 2))us"
    tc qdisc change dev "v$1" root netem limit 100000 delay "$half" loss "$3"
    tc -n "$1" qdisc change dev eth0 root netem limit 100000 delay "$half" loss "$3"
}

latency() {
    DELAY[$1]=$2
    _link "$1" "$2" 0%
}
upload() { tc -n "$1" qdisc change dev eth0 root netem limit 100000 delay "$((DELAY[$1] * 1000 / 2))us" rate "${2}kbit"; }
unplug() { _link "$1" "${DELAY[$1]:-0}" 100%; }
plug() { _link "$1" "${DELAY[$1]:-0}" 0%; }

server_freeze() { for client in "${CLIENTS[@]}"; do unplug "$client"; done; }
server_thaw() { for client in "${CLIENTS[@]}"; do plug "$client"; done; }
