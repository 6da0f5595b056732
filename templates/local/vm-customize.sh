#!/bin/sh
# Turns a fresh Debian root file system into the base image of virtual machines; runs inside of it.
#
# Leaves /boot/meshvm-vmlinuz and /boot/meshvm-initrd.img, which QEMU boots: there is no boot
# loader. Whatever is written here is part of the image's recipe: a change makes another image.
set -eu
export LC_ALL=C

# ---- network: cloud-init writes it, systemd-networkd does it ----
systemctl enable systemd-networkd.service > /dev/null 2>&1
# QEMU's user network answers names here, always.
rm -f /etc/resolv.conf
echo 'nameserver 10.0.2.3' > /etc/resolv.conf
# A link that has only a static address counts as up once its router solicitations have timed
# out, which delays each boot by 13 s; cloud-init 22.4 drops `accept-ra: false`.
for link in eth0 eth1; do
  mkdir -p "/etc/systemd/network/10-cloud-init-$link.network.d"
  printf '[Network]\nIPv6AcceptRA=no\n' > "/etc/systemd/network/10-cloud-init-$link.network.d/no-ra.conf"
done

# ---- what each machine has of its own ----
echo localhost > /etc/hostname
printf '127.0.0.1 localhost\n::1 localhost\n' > /etc/hosts
: > /etc/machine-id
# The disk may be larger than the image.
echo '/dev/vda / ext4 rw,noatime,x-systemd.growfs 0 0' > /etc/fstab

# ---- what this computer trusts: behind a proxy that opens TLS, https would fail otherwise ----
update-ca-certificates > /dev/null

# ---- a quick boot: no terminals, no timers, no log on the disk ----
for unit in getty@.service serial-getty@.service getty-static.service console-getty.service \
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
  e2scrub_reap.service fstrim.timer logrotate.timer man-db.timer systemd-tmpfiles-clean.timer \
  systemd-journal-flush.service systemd-journal-catalog-update.service systemd-pstore.service \
  systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-rfkill.service \
  systemd-hwdb-update.service cloud-init-hotplugd.socket cloud-init-hotplugd.service; do
  ln -sf /dev/null "/etc/systemd/system/$unit"
done
mkdir -p /etc/systemd/journald.conf.d /etc/systemd/system.conf.d
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n' > /etc/systemd/journald.conf.d/meshvm.conf
# Without hardware virtualisation everything takes ten times as long.
printf '[Manager]\nDefaultTimeoutStartSec=600s\nDefaultTimeoutStopSec=20s\nDefaultDeviceTimeoutSec=300s\n' > /etc/systemd/system.conf.d/meshvm.conf
printf 'DPkg::Options:: "--force-unsafe-io";\n' > /etc/apt/apt.conf.d/98meshvm

# ---- cloud-init: only what user-data needs, since the other modules cost seconds ----
printf 'policy: enabled\n' > /etc/cloud/ds-identify.cfg
cat > /etc/cloud/cloud.cfg.d/90-meshvm.cfg << 'END'
datasource_list: [NoCloud, None]
datasource: {NoCloud: {fs_label: cidata}}
apt: {preserve_sources_list: true}
disable_root: true
manage_etc_hosts: true
cloud_init_modules: [seed_random, bootcmd, write-files, set_hostname, update_hostname, update_etc_hosts, ca-certs, users-groups]
cloud_config_modules: [apt-configure, timezone, ntp, runcmd]
cloud_final_modules: [package-update-upgrade-install, write-files-deferred, scripts-per-once, scripts-per-boot, scripts-per-instance, scripts-user, final-message, power-state-change]
END

# ---- a later boot does not run user-data again: the host must know when it is over ----
cat > /etc/systemd/system/meshvm-booted.service << 'END'
[Unit]
Description=Word to the host that the machine has booted
After=cloud-final.service
ConditionPathExists=/dev/virtio-ports/meshvm.result

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo booted > /dev/virtio-ports/meshvm.result'

[Install]
WantedBy=cloud-init.target
END
systemctl enable meshvm-booted.service > /dev/null 2>&1

# ---- what QEMU boots: the kernel, and an initrd of busybox and the modules of the disk ----
kernel=$(ls /lib/modules | sort -V | tail -n 1)
initrd=$(mktemp -d)
mkdir "$initrd/bin" "$initrd/dev" "$initrd/proc" "$initrd/new" "$initrd/modules"
cp /bin/busybox "$initrd/bin/busybox"
# In the order in which they need each other.
for module in virtio_pci virtio_blk; do
  modprobe -S "$kernel" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' > "$initrd/order"
number=10
while read -r file; do
  cp "$file" "$initrd/modules/$number.ko"
  number=$((number + 1))
done < "$initrd/order"
rm "$initrd/order"
cat > "$initrd/init" << 'END'
#!/bin/busybox sh
b=/bin/busybox
fail() {
  echo "initrd: $1"
  $b sleep 5
  exec $b poweroff -f
}
$b mount -t devtmpfs dev /dev
$b mount -t proc proc /proc
for module in /modules/*.ko; do
  $b insmod "$module" || echo "initrd: insmod $module failed"
done
tries=0
until [ -b /dev/vda ]; do
  tries=$((tries + 1))
  [ "$tries" -le 600 ] || fail 'there is no disk'
  $b usleep 50000
done
$b mount -t ext4 -o rw,noatime /dev/vda /new || fail 'the disk cannot be mounted'
$b umount /proc
$b mount -o move /dev /new/dev
exec $b switch_root /new /sbin/init
END
chmod 0755 "$initrd/init"
(cd "$initrd" && find . | sort | cpio -o -H newc -R 0:0 --quiet | gzip -n -9) > /boot/meshvm-initrd.img
cp -L "/boot/vmlinuz-$kernel" /boot/meshvm-vmlinuz
rm -rf "$initrd" /boot/initrd.img-* /boot/System.map-* /boot/vmlinuz-*

# ---- what no machine of ours ever needs ----
(
  cd "/lib/modules/$kernel/kernel"
  rm -rf drivers/gpu drivers/infiniband drivers/scsi drivers/net/ethernet drivers/hv drivers/xen \
    drivers/nvme fs/nfs fs/cifs fs/ceph fs/ocfs2 fs/gfs2 fs/jfs sound
)
depmod "$kernel"
apt-get clean
rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/debconf/*-old /usr/share/doc/* /usr/share/man/* /usr/share/locale/*
