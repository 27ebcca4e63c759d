#!/bin/bash
# Runs dockerd from a folder that holds a Debian system, in namespaces of its own: mounts, processes, cgroups, and on
# demand the network. Nothing of it is seen by, or left on, the machine; it ends with the process that started it.
#
#   engine.sh start NETWORK ROOT WORK REPOSITORY CGROUP...
#
# NETWORK   `machine`: the machine's own, without bridges, to build images; `own`: one without a way out, with bridges
# ROOT      the Debian system
# WORK      for images, volumes and logs; `init.pid` in it is the process whose namespaces a client enters, as soon as
#           dockerd is started
# REPOSITORY is to be seen in there, too, at the same path
# CGROUP    cgroups that are its own: one of each hierarchy (version 1), or one alone (version 2)
set -euo pipefail

# In the machine's namespaces.
start() {
  local network=()
  [ "$1" = machine ] || network=(--net)
  exec unshare --mount --ipc --uts --pid --fork --kill-child "${network[@]}" --propagation private \
    bash "$0" join_cgroups "$@"
}

# Process 1 of new namespaces, which still sees the machine's files. A cgroup namespace begins where its process is.
join_cgroups() {
  local cgroup
  for cgroup in "${@:5}"; do
    echo 0 >"$cgroup/cgroup.procs"
  done
  exec unshare --cgroup bash "$0" run "$@"
}

run() {
  local network=$1 root=$2 work=$3 repository=$4 cgroups=("${@:5}") init dockerd folder
  # The machine's /proc, so its number for this process.
  read -r init _ </proc/self/stat
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount -t sysfs sysfs "$root/sys"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs tmpfs "$root/run"
  mount_cgroups "$root/sys/fs/cgroup" "${cgroups[@]}"
  for folder in "$work" "$repository"; do
    mkdir -p "$root$folder"
    mount --bind "$folder" "$root$folder"
  done
  cp /etc/resolv.conf "$root/etc/resolv.conf"

  local options=(--bridge=none --iptables=false --ip6tables=false --ip-forward=false)
  if [ "$network" = own ]; then
    ip link set lo up
    options=(--bip=172.31.255.1/24 --default-address-pool base=172.30.0.0/16,size=24)
  fi

  # Not chroot: what enters the namespace, as `docker exec` and health checks do, would be at the machine's root.
  mkdir -p "$root/.machine"
  cd "$root"
  pivot_root . .machine
  cd /
  export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  hash -r
  umount --lazy /.machine

  dockerd --data-root="$work/var" --exec-root=/run/docker --pidfile=/run/docker.pid --host=unix:///run/docker.sock \
    "${options[@]}" &
  dockerd=$!
  trap 'kill -TERM $dockerd' TERM
  echo "$init" >"$work/init.pid"
  # A signal ends the first wait, not dockerd, which stops its containers first.
  wait "$dockerd" || wait "$dockerd"
}

mount_cgroups() {
  local target=$1 cgroup name
  if [ -e "$2/cgroup.controllers" ]; then
    mount -t cgroup2 cgroup2 "$target"
    # A cgroup with processes cannot hand its controllers down.
    mkdir -p "$target/engine"
    echo 0 >"$target/engine/cgroup.procs"
    echo "+cpuset +cpu +memory +pids" >"$target/cgroup.subtree_control"
    return
  fi
  mount -t tmpfs -o mode=755 tmpfs "$target"
  for cgroup in "${@:2}"; do
    # /sys/fs/cgroup/NAME/...
    name=${cgroup#/sys/fs/cgroup/}
    name=${name%%/*}
    mkdir "$target/$name"
    mount -t cgroup -o "$name" cgroup "$target/$name"
  done
}

"$@"
