#!/bin/sh
# Runs one container until it is shut down from inside or killed.
#
#   launch.sh FOLDER NAME NETNS TICKET [CGROUP.PROCS...]
#
# It is started detached and in a mount namespace of its own, so that its mounts end with it.
# FOLDER holds base (a link to the image), upper, work and merged, and perhaps media.
# The ticket and the exit code are left in FOLDER/exit.
set -eu
umask 022
folder=$1 name=$2 netns=$3 ticket=$4
shift 4
cd "$folder"
trap 'echo "$ticket $?" > exit' EXIT

# First of all, so that nothing of this machine ever runs outside of its cgroups.
for procs; do
  echo $$ > "$procs"
done
# Whoever wants another start first changes the ticket and then kills the cgroup: a start that was
# too late to be killed is not wanted any more.
[ "$(cat ticket)" = "$ticket" ] || exit 1

# systemd-nspawn keeps locks and mount points here, and leaves them behind when it is killed.
mkdir -p /run/systemd/nspawn
mount -t tmpfs -o size=1m,mode=755 meshvm /run/systemd/nspawn
mount -t overlay "$netns" -o lowerdir=base,upperdir=upper,workdir=work merged

# The network namespace is the machine's own, so it may redirect its traffic as a sidecar does.
set -- --quiet --directory="$folder/merged" --machine="$name" --register=no --keep-unit --boot \
  --network-namespace-path="/run/netns/$netns" --capability=CAP_NET_ADMIN \
  --resolv-conf=off --timezone=off --link-journal=no --console=pipe
if [ -d media ]; then
  set -- "$@" --bind-ro="$folder/media:/var/lib/meshvm/media"
fi

child='' stop=''
trap 'stop=yes; [ -z "$child" ] || kill -TERM "$child" || true' TERM
while [ -z "$stop" ]; do
  systemd-nspawn "$@" &
  child=$!
  code=0
  wait "$child" || code=$?
  # A signal for this shell ends `wait` before the child has ended.
  while kill -0 "$child" 2> /dev/null; do
    code=0
    wait "$child" || code=$?
  done
  # 133 is a reboot from inside, which --keep-unit leaves to the caller.
  [ "$code" = 133 ] || exit "$code"
done
