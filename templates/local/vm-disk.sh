#!/bin/sh
# Makes a disk of a root file system, with no partitions and no boot loader.
#
#   vm-disk.sh FOLDER SIZE
#
# FOLDER holds root, or root.tar to unpack to it; FOLDER/disk.raw is made. It needs root, or
# fakeroot, which only pretends and so can set owners for a file system in a file.
set -eu
cd "$1"
if [ ! -d root ]; then
  mkdir root
  tar --extract --file root.tar --directory root --numeric-owner --preserve-permissions --exclude='./dev/*'
  rm root.tar
fi
truncate -s "$2" disk.raw
# What a kernel would do in the background, in the overlay of each machine, is done here once.
mkfs.ext4 -q -F -L root -m 1 -i 65536 -O ^metadata_csum,^64bit -J size=16 \
  -E lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0 -d root disk.raw
rm -rf root
