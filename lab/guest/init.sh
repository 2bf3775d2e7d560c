#!/bin/bash
# The virtual machine's first process. Takes the job from the second disk (a tar archive), runs its `run`, and leaves
# what is in /results, with the exit status, on the third disk (a tar archive again).
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /job /results
mount -t devpts devpts /dev/pts
for directory in /dev/shm /tmp /run /var/tmp /root /job /results; do
    mount -t tmpfs -o size=7g tmpfs "$directory"
done
mount -o remount,rw /
hostname lab
ip link set lo up
modprobe virtio_blk

tar -xf /dev/vdb -C /job
cd /job || exit 1
/job/run
echo $? >/results/status
cd /
tar -cf /dev/vdc -C /results .
sync
echo o >/proc/sysrq-trigger
sleep 60
