#!/bin/bash
# instance.sh start|stop PORT ADDRESS: what an EC2 instance finds when it boots. Called before cloud-init.
#
# PORT is the cloud's on localhost, ADDRESS the instance's in its VPC. /job holds, beside this library, `hosts` (lines of
# /etc/hosts: mount targets), `efs/ID.tar` (what each file system holds) and `aws.tar` (the AWS command line).
set -eu
EFS=/srv/efs
GATEWAY=169.254.2.100 # the emulator passes its PORT on to the host's local cloud
COMMANDS_PORT=8022
port=$2 address=$3

start() {
    local archive number=0
    cat /job/hosts >>/etc/hosts
    ip link set lo up
    modprobe -a nfsd nfs nfsv4 veth
    echo 0 >/proc/sys/fs/leases-enable # EFS gives no delegations
    for archive in /job/efs/*.tar; do
        number=$((number + 1))
        file_system "$archive" $number
    done
    command_line
    connect
}

file_system() { # ARCHIVE NUMBER: an NFSv4.1 server that has a network of its own, reached at its mount targets' addresses
    local id link=veth$2 target name # cloud-init leaves links with such names alone
    id=$(basename "$1" .tar)
    mkdir -p "$EFS/$id"
    tar --numeric-owner -xpf "$1" -C "$EFS/$id"
    mkdir -p /run/netns
    ip netns add "$id"
    ip link add "$link" mtu 9001 type veth peer name eth0 mtu 9001 netns "$id"
    while read -r target name _; do
        [[ $name == "$id".* ]] || continue
        ip address add "$address" peer "$target" dev "$link"
        ip -n "$id" address add "$target" peer "$address" dev eth0
    done </job/hosts
    ip link set "$link" up
    ip -n "$id" link set eth0 up
    ip -n "$id" link set lo up
    ip netns exec "$id" /job/lab/boot/efs.sh "$EFS/$id"
}

command_line() { # Amazon Linux brings the AWS command line; this is the host's
    mkdir -p /opt /run/systemd/system
    tar -xf /job/aws.tar -C /opt
    printf '#!/bin/sh\nPYTHONPATH=/opt/aws exec python3 -m awscli "$@"\n' >/usr/bin/aws
    chmod 755 /usr/bin/aws
}

connect() { # where AWS is, for every service that starts from now on, and Systems Manager's agent
    systemctl set-environment "AWS_ENDPOINT_URL=http://localhost:$port"
    unit lab-cloud.socket "[Socket]" "ListenStream=127.0.0.1:$port"
    unit lab-cloud.service "[Service]" "ExecStart=/lib/systemd/systemd-socket-proxyd $GATEWAY:$port"
    unit lab-commands.service "[Service]" "ExecStart=/usr/bin/python3 /job/lab/boot/commands.py $COMMANDS_PORT"
    systemctl daemon-reload
    systemctl start --no-block lab-cloud.socket lab-commands.service
}

unit() { printf '%s\n' "${@:2}" >"/run/systemd/system/$1"; } # NAME LINE...

stop() { # what is left when all services have ended
    local directory
    mkdir -p /results/efs
    for directory in "$EFS"/*; do
        tar --format=posix --sparse -cf "/results/efs/${directory##*/}.tar" -C "$directory" .
    done
    cp /var/lib/cloud/instance/user-data.txt /var/log/
    # The journal is still written to; tar says so by status 1, and what it took is whole enough to read.
    tar --exclude=./journal --warning=no-file-changed -cf /results/log.tar -C /var/log . || [ $? = 1 ]
}

"$1"
