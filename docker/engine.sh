#!/usr/bin/env bash
# Docker engine for the tests, for root on a Debian or Ubuntu machine without one.
#
#   eval "$(docker/engine.sh start)"   starts one; prints nothing if an engine is running
#   docker/engine.sh status            shows the running engine; exit code 1 if there is none
#   docker/engine.sh stop              stops the engine of `start` and its containers
#
#   QADAPT_ENGINE_DATA   folder of its images (default .cache/engine)
#   QADAPT_ENGINE_RUN    its socket, pid and log (default /run/qadapt-engine)
#
# Ports are published on 127.0.0.1 with docker-proxy only: no firewall rules, forwarding or
# masquerading, so containers have no network access.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

run="${QADAPT_ENGINE_RUN:-/run/qadapt-engine}"
data="${QADAPT_ENGINE_DATA:-.cache/engine}"
socket="unix://$run/docker.sock"
patience=60

say() { printf 'engine: %s\n' "$*" >&2; }
answers() { DOCKER_HOST="$1" timeout 20 docker version --format '{{.Server.Version}}' 2>/dev/null; }

usual() { # the engine that the environment names, or the machine's own
  [[ "${DOCKER_HOST:-}" != "$socket" ]] && command -v docker >/dev/null &&
    answers "${DOCKER_HOST:-unix:///var/run/docker.sock}"
}

ours() { command -v docker >/dev/null && answers "$socket"; }

prepare() {
  command -v dockerd >/dev/null && return
  if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
    say "no Docker engine answers, and only root on Debian or Ubuntu can have one put there"
    exit 1
  fi
  say "installing docker.io"
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends docker.io \
    </dev/null >&2
}

start() {
  local version log="$run/dockerd.log"
  if version="$(usual)"; then
    say "Docker $version answers"
    return
  fi
  if ! ours >/dev/null; then
    prepare
    if version="$(usual)"; then # on a machine with an init system, the package started one
      say "Docker $version answers"
      return
    fi
    if ((EUID != 0)); then say "only root can start dockerd"; exit 1; fi
    mkdir -p "$run" "$data"
    rm -f "$run/docker.pid"
    setsid nohup dockerd --host "$socket" --data-root "$(cd "$data" && pwd)" \
      --exec-root "$run/exec" --pidfile "$run/docker.pid" --ip 127.0.0.1 --iptables=false \
      --ip-forward=false --ip-masq=false --userland-proxy=true </dev/null >"$log" 2>&1 &
    for ((second = 0; second < patience; second++)); do
      if ours >/dev/null; then break; fi
      if ! kill -0 $! 2>/dev/null; then break; fi
      sleep 1
    done
    ours >/dev/null || { say "dockerd does not answer:"; tail -n 20 "$log" >&2; exit 1; }
  fi
  say "Docker $(ours), started for the tests; data in $data"
  printf 'export DOCKER_HOST=%q\n' "$socket"
}

stop() {
  local pid
  if ! pid="$(cat "$run/docker.pid" 2>/dev/null)" || [[ ! -d "/proc/$pid" ]]; then
    say "none was started"
    return
  fi
  if ours >/dev/null; then
    DOCKER_HOST="$socket" docker ps --quiet | DOCKER_HOST="$socket" xargs -r docker kill >/dev/null
  fi
  kill "$pid"
  for ((second = 0; second < patience; second++)); do
    if [[ ! -d "/proc/$pid" ]]; then
      ip link delete docker0 2>/dev/null || say "the bridge docker0 stays"
      say "stopped"
      return
    fi
    sleep 1
  done
  say "dockerd ($pid) does not end"
  exit 1
}

status() {
  local version
  if version="$(usual)"; then
    say "Docker $version answers"
  elif version="$(ours)"; then
    say "Docker $version at $socket"
  else
    say "none answers"
    exit 1
  fi
}

case "${1:-}" in
  start | stop | status) "$1" ;;
  *)
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
    exit 2
    ;;
esac
