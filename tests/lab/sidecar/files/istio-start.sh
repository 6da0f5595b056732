#!/bin/bash
# Starts the proxy of the mesh on a machine: rules first, then the agent as another user.
#
#   istio-start.sh          rules and agent
#   istio-start.sh run      agent alone
#   istio-start.sh init     rules alone (also: -p)
#   istio-start.sh clean    no rules
#
# Paths that begin with "." are below the folder that the unit runs in, which is "/".
set -euo pipefail

# ---- the environment, all of it exported ------------------------------------
set -a
for file in "${ISTIO_SIDECAR_CONFIG:-./var/lib/istio/envoy/sidecar.env}" \
            "${ISTIO_CLUSTER_CONFIG:-./var/lib/istio/envoy/cluster.env}"; do
  if [ -r "$file" ]; then
    # shellcheck disable=SC1090
    . "$file"
  fi
done
set +a

bin=${ISTIO_BIN_BASE:-/usr/local/bin}
log=${ISTIO_LOG_DIR:-./var/log/istio}
namespace=${ISTIO_NAMESPACE:-default}
service=${ISTIO_SERVICE:-rawvm}
system=${ISTIO_SYSTEM_NAMESPACE:-istio-system}
user=${EXEC_USER:-istio-proxy}

# ---- the rules ---------------------------------------------------------------
clean() { "$bin/pilot-agent" istio-iptables --cleanup-only; }
capture() {
  [ "${ISTIO_CUSTOM_IP_TABLES:-}" = true ] && return
  clean
  "$bin/pilot-agent" istio-iptables
}
case ${1:-} in
  clean) if [ "${ISTIO_CUSTOM_IP_TABLES:-}" != true ]; then clean; fi; exit 0 ;;
  init | -p) capture; exit 0 ;;
  run) ;;
  '') capture ;;
  *) echo "usage: $0 [run|init|clean]" >&2; exit 2 ;;
esac

# ---- what the agent is told --------------------------------------------------
if [ -z "${ISTIO_SVC_IP:-}" ]; then
  read -r ISTIO_SVC_IP _ < <(hostname --all-ip-addresses) || true
fi
[ -n "${POD_NAME:-}" ] || POD_NAME=$(hostname -s)

if [ -z "${CA_ADDR:-}" ]; then
  if [ -n "${PILOT_ADDRESS:-}" ]; then
    CA_ADDR=$PILOT_ADDRESS
  else
    CA_ADDR=istiod.$system.svc:${ISTIO_PILOT_PORT:-15012}
  fi
fi
# Set but empty stands: it turns them off.
PROV_CERT=${PROV_CERT-./etc/certs}
OUTPUT_CERTS=${OUTPUT_CERTS-./etc/certs}
export CA_ADDR PROV_CERT OUTPUT_CERTS

if [ -z "${PROXY_CONFIG:-}" ]; then
  PROXY_CONFIG="serviceCluster: $service
controlPlaneAuthPolicy: MUTUAL_TLS
"
  if [ -n "${PILOT_ADDRESS:-}" ]; then
    PROXY_CONFIG+="discoveryAddress: $PILOT_ADDRESS
"
  elif [ -n "${ISTIO_PILOT_PORT:-}" ]; then
    PROXY_CONFIG+="discoveryAddress: istiod.$system.svc:$ISTIO_PILOT_PORT
"
  fi
fi
export PROXY_CONFIG

# The agent keeps the names of services in this file, and is not root.
if ! { chgrp "$user" /etc/hosts && chmod g+w /etc/hosts; }; then
  echo "names of services will not be known: /etc/hosts cannot be handed to $user" >&2
fi

export INSTANCE_IP=${ISTIO_SVC_IP:-} POD_NAME POD_NAMESPACE=$namespace
export ISTIO_BIN=$bin ISTIO_LOG=$log
# The flags are words for the agent: they are split on purpose, inside.
# shellcheck disable=SC2016
exec sudo -E -u "$user" -- /bin/bash -c '
  umask 022
  # shellcheck disable=SC2086
  exec "$ISTIO_BIN/pilot-agent" proxy ${ISTIO_AGENT_FLAGS:-} \
    >> "$ISTIO_LOG/istio.log" 2>> "$ISTIO_LOG/istio.err.log"'
