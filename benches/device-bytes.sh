#!/bin/bash
# What a reading costs the flash: `outstation bench` on a file system of its own, whose device counts
# what is written to it, the file system's journal included, and nobody else writes to.
#
#   sudo benches/device-bytes.sh [BLOCK_BYTES [SECONDS [WORKLOAD [OUTSTATION]]]]
#
# Makes an ext4 with blocks of 1024 or 4096 bytes in a file and mounts it, for which it has to be root.
# The row to look for is "as the device counts".
set -eu
block=${1:-4096}
seconds=${2:-60}
workload=${3:-w1}
outstation=${4:-target/release/outstation}

work=$(mktemp -d)
cleanup() {
    if mountpoint -q "$work/mount"; then umount "$work/mount"; fi
    rm -rf "$work"
}
trap cleanup EXIT

truncate -s 1G "$work/image"
# Everything is initialised now: later it would be written, and counted, in the background.
mkfs.ext4 -q -F -b "$block" -E lazy_itable_init=0,lazy_journal_init=0 "$work/image"
mkdir "$work/mount"
mount -o loop,noatime "$work/image" "$work/mount"
sync -f "$work/mount"

echo "ext4 with blocks of $block bytes, alone on its device"
"$outstation" bench --workload "$workload" --seconds "$seconds" --folder "$work/mount"
