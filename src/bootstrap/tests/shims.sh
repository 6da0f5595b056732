#!/bin/bash
# Stands in for the programs that would change the machine which runs the tests.
# One file under many names; what they know is in $FAKE.
name=${0##*/}
printf '%s' "$name" >>"$FAKE/calls"
printf ' %s' "$@" | tr '\n' ' ' >>"$FAKE/calls"
echo >>"$FAKE/calls"
# A file FAKE/fail-NAME makes the program fail, once, with the file's text.
if [[ -e $FAKE/fail-$name ]]; then
  cat "$FAKE/fail-$name" >&2
  rm "$FAKE/fail-$name"
  exit 100
fi
last=${*: -1}
case "$name $1" in
  "apt-get "*)
    [[ $* == *" update" ]] && exit 0
    if [[ $last == *.deb ]]; then
      [[ -e $MESHVM_ROOT/etc/istio ]] && touch "$FAKE/too-early"
      package=$(sed -n 's/^Package: //p' "$last")
      sed -n 's/^Version: //p' "$last" >"$FAKE/db/$package"
    else
      while [[ $1 != -- ]]; do shift; done
      shift
      for package in "$@"; do echo 1 >"$FAKE/db/$package"; done
    fi
    ;;
  "dpkg --print-architecture") cat "$FAKE/arch" ;;
  "dpkg "*) ;;
  "dpkg-deb --field") sed -n "s/^$3: //p" "$2" ;;
  "dpkg-query --search")
    [[ -e $FAKE/db/test-sidecar && $last == "*/systemd/system/test-sidecar.service" ]] || exit 1
    echo "test-sidecar: /lib/systemd/system/test-sidecar.service"
    ;;
  "dpkg-query --show")
    [[ -e $FAKE/db/$last ]] || exit 1
    if [[ $2 == *Version* ]]; then echo "installed $(<"$FAKE/db/$last")"; else echo installed; fi
    ;;
  "systemctl is-active") [[ -e $FAKE/active ]] ;;
  "systemctl enable") touch "$FAKE/active" ;;
  "systemctl cat") [[ $2 == systemd-timesyncd.service ]] ;;
  "systemctl restart")
    if [[ -e $FAKE/fail-restart ]]; then rm "$FAKE/fail-restart"; exit 1; fi
    ;;
  "systemctl "* | "udevadm "* | "umount "* | "sleep "*) ;;
  "systemd-detect-virt "*) exit 1 ;;
  "timedatectl "*) echo yes ;;
  "journalctl "*) echo "the last words of the unit" ;;
  "blkid "*) [[ -d $FAKE/disk ]] && echo /dev/fake ;;
  "mount "*) cp "$FAKE"/disk/* "$last/" ;;
  "curl "*)
    if [[ $* == *"--output /dev/null"* ]]; then
      cat "$FAKE/answer"
    else
      while [[ $1 != --output ]]; do shift; done
      [[ -e $FAKE/download ]] || { echo "curl: (22) The requested URL returned error: 404" >&2; exit 22; }
      cp "$FAKE/download" "$2"
    fi
    ;;
  *)
    echo "no such shim: $name $*" >&2
    exit 127
    ;;
esac
