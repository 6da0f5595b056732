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

# put_in FILE: what a package manager does with a file that it is given.
put_in() {
  local package
  [[ -e $MESHVM_ROOT/etc/istio ]] && touch "$FAKE/too-early"
  [[ -e $FAKE/active ]] && touch "$FAKE/under-a-running-sidecar"
  package=$(sed -n 's/^Package: //p' "$1")
  sed -n 's/^Version: //p' "$1" >"$FAKE/db/$package"
  # Istio's package makes these.
  mkdir -p "$MESHVM_ROOT/var/lib/istio/"{envoy,proxy,config} "$MESHVM_ROOT/etc/certs"
  [[ -e $MESHVM_ROOT/etc/istio ]] || ln -s ../var/lib/istio "$MESHVM_ROOT/etc/istio"
  mkdir -p "$MESHVM_ROOT/usr/lib/systemd/system"
  touch "$MESHVM_ROOT/usr/lib/systemd/system/test-sidecar.service"
}

# What Istio's agent does: it trades its token for a certificate.
start_sidecar() {
  local token=$MESHVM_ROOT/var/run/secrets/tokens/istio-token certs=$MESHVM_ROOT/etc/certs
  touch "$FAKE/active"
  if [[ -s $token && ! -e $FAKE/refuses ]]; then
    stat -c '%a %U' "${token%/*}" "$token" >"$FAKE/token-modes"
    cp "$token" "$FAKE/token-seen"
    echo 86400 >"$certs/cert-chain.pem"
    echo key >"$certs/key.pem"
  fi
}

case "$name $1" in
  "apt-get "*)
    [[ $* == *" update" ]] && exit 0
    if [[ $last == *.deb ]]; then
      put_in "$last"
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
  "rpm --eval") cat "$FAKE/arch" ;;
  "rpm --query")
    case " $*" in
      *" --package "*)
        grep -q '^Package: ' "$last" || { echo "error: $last: not an rpm package" >&2; exit 1; }
        if [[ $* == *NAME* ]]; then sed -n 's/^Package: //p' "$last"; else sed -n 's/^Version: //p' "$last"; fi
        ;;
      *" --file "*)
        [[ -e $last ]] || { echo "error: file $last: No such file or directory" >&2; exit 1; }
        echo test-sidecar
        ;;
      *)
        [[ -e $FAKE/db/$last ]] || { echo "package $last is not installed"; exit 1; }
        [[ $2 == --quiet ]] || cat "$FAKE/db/$last"
        ;;
    esac
    ;;
  "dnf "* | "zypper "*)
    # A dnf that is content with any version, once there is one.
    [[ $* == *" install "* && -e $FAKE/content ]] && exit 0
    if [[ $last == *.rpm ]]; then
      put_in "$last"
    else
      while [[ $1 != install ]]; do shift; done
      shift
      for package in "$@"; do [[ $package == --* ]] || echo 1-1 >"$FAKE/db/$package"; done
    fi
    ;;
  "systemctl is-active") [[ -e $FAKE/active ]] ;;
  "systemctl enable" | "systemctl start")
    [[ $last == *timesyncd* || -e $FAKE/active ]] || start_sidecar
    ;;
  "systemctl stop") rm -f "$FAKE/active" ;;
  "systemctl cat") [[ $2 == systemd-timesyncd.service ]] ;;
  "systemctl restart")
    if [[ -e $FAKE/fail-restart ]]; then rm "$FAKE/fail-restart"; exit 1; fi
    start_sidecar
    ;;
  "systemctl "* | "udevadm "* | "sleep "*) ;;
  "systemd-detect-virt "*) exit 1 ;;
  "timedatectl "*) echo yes ;;
  "journalctl "*) echo "the last words of the unit" ;;
  "blkid -L") [[ -d $FAKE/disk-$2 ]] && echo "/dev/$2" ;;
  "mount "*) cp -r "$FAKE/disk-${3#/dev/}"/* "$last/" ;;
  "umount "*) find "$last" -mindepth 1 -delete ;;
  "mv "*)
    # Whatever is put in a place has its permissions by then.
    stat -c "%a $last" "${*: -2:1}" >>"$FAKE/moved"
    exec /bin/mv "$@"
    ;;
  "uname --nodename") echo db-1.example.internal ;;
  "cloud-init query")
    cat "$FAKE/metadata/${last#ds.meta_data.meshvm.}" 2>/dev/null || { echo "ERROR: no such key" >&2; exit 1; }
    ;;
  "ip -o")
    if [[ $last == *:* ]]; then cat "$FAKE/route6"; else cat "$FAKE/route4"; fi
    ;;
  "getent ahosts")
    [[ -e $FAKE/addresses ]] || exit 2
    while read -r address; do
      printf '%-15s STREAM %s\n%-15s DGRAM\n%-15s RAW\n' "$address" "$last" "$address" "$address"
    done <"$FAKE/addresses"
    ;;
  "openssl x509")
    # A certificate is the number of seconds for which it is valid.
    [[ ! -e $FAKE/no-openssl ]] || exit 127
    case $2 in
      -checkend) (($(<"$last") > $3)) ;;
      -enddate) echo "notAfter=Mar  7 09:05:01 2031 GMT" ;;
      *) exit 2 ;;
    esac
    ;;
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
