#!/bin/sh
# Turns a fresh Debian root file system into the base image of containers.
#
#   customize.sh ROOTFS
#
# Whatever is written here is part of the image's recipe: a change makes another image.
set -eu
root=$1

# Only what user-data needs: the rest of cloud-init's modules cost a boot more time than all else.
# systemd-logind stays, since `systemctl reboot` inside asks it.
cat > "$root/etc/cloud/cloud.cfg.d/90-meshvm.cfg" << 'END'
apt: {preserve_sources_list: true}
disable_root: true
cloud_init_modules: [seed_random, write-files, set_hostname, update_hostname, update_etc_hosts, ca-certs, users-groups]
cloud_config_modules: [apt-configure, runcmd]
cloud_final_modules: [package-update-upgrade-install, write-files-deferred, scripts-per-boot, scripts-per-instance, scripts-user, final-message]
END

# Each machine gets its own.
rm -f "$root/etc/resolv.conf" "$root/etc/hostname"
: > "$root/etc/machine-id"

# A machine's disk is a folder of this computer, which is lost as a whole or not at all.
printf 'DPkg::Options:: "--force-unsafe-io";\n' > "$root/etc/apt/apt.conf.d/98meshvm"

mkdir -p "$root/etc/systemd/journald.conf.d"
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n' > "$root/etc/systemd/journald.conf.d/meshvm.conf"

# There is no terminal and no hardware, the network is set up from outside, and timers of fifty
# machines would all fire at once.
for unit in console-getty.service getty@.service container-getty@.service getty-static.service \
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
  e2scrub_reap.service fstrim.timer systemd-networkd.service systemd-resolved.service \
  cloud-init-hotplugd.socket systemd-journal-flush.service \
  systemd-journal-catalog-update.service systemd-update-utmp.service \
  systemd-update-utmp-runlevel.service; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

# What this computer trusts: behind a proxy that opens TLS, https would fail otherwise.
mkdir -p "$root/usr/local/share/ca-certificates"
for certificate in /usr/local/share/ca-certificates/*.crt; do
  [ -e "$certificate" ] || continue
  cp -L "$certificate" "$root/usr/local/share/ca-certificates/"
done
chroot "$root" update-ca-certificates > /dev/null
