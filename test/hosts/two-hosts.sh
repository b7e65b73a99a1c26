#!/bin/sh
# Runs a command as ranks on two hosts that this machine plays: each has a network, a host name and
# processes of its own, and they reach each other by TCP alone.
#
#   two-hosts.sh open-mpi|mpich RANKS_PER_HOST COMMAND...
#
# Needs root, ip (iproute2), unshare (util-linux), and that kind of MPI's launcher. What was made is
# gone when it ends. The exit status is the launcher's.
set -eu

kind=$1
ranks=$2
shift 2

# Names of a machine-wide kind, so that runs at the same time don't meet.
first=wan-$$-a
second=wan-$$-b
agent=$(mktemp)

cleanup() {
  rm -f "$agent"
  for host in "$first" "$second"; do
    # What still runs there would keep the network alive.
    ip netns pids "$host" 2>/dev/null | xargs -r kill -9 2>/dev/null || true
    ip netns delete "$host" 2>/dev/null || true
  done
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

ip netns add "$first"
ip netns add "$second"
ip link add name wan0 netns "$first" type veth peer name wan0 netns "$second"
address=1
for host in "$first" "$second"; do
  ip -n "$host" address add "10.231.0.$address/24" dev wan0
  ip -n "$host" link set lo up
  ip -n "$host" link set wan0 up
  # Connections to a host that is cut off end after a second or two: Open MPI's launcher waits for that.
  ip netns exec "$host" sysctl -qw net.ipv4.tcp_retries2=3
  address=$((address + 1))
done
# The kernel tells that a link is up a moment after it is.
for host in "$first" "$second"; do
  tries=0
  until ip -n "$host" link show wan0 | grep -q 'state UP'; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || { echo "two-hosts.sh: the network does not come up" >&2; exit 1; }
    sleep 0.1
  done
done

# What launchers take for ssh: options, a host's address, and the words of a command line.
cat >"$agent" <<END
#!/bin/sh
while [ "\${1#-}" != "\$1" ]; do shift; done
case \$1 in
10.231.0.1) host=$first name=host-a ;;
*) host=$second name=host-b ;;
esac
shift
exec ip netns exec "\$host" unshare --uts --ipc --pid --fork --kill-child --mount-proc \\
  sh -c "hostname \$name; \$*"
END
chmod +x "$agent"

hosts=10.231.0.1:$ranks,10.231.0.2:$ranks
# In the first host's network; what it starts for that host goes through the agent as well, or, by
# Open MPI's launcher, is its own child.
on_first() {
  ip netns exec "$first" unshare --uts --ipc --pid --fork --kill-child --mount-proc \
    sh -c 'hostname host-a; exec "$@"' sh "$@"
}
case $kind in
open-mpi)
  launcher=$(command -v mpirun.openmpi || command -v mpirun)
  # Daemons that left their session would leave their host's processes.
  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 on_first "$launcher" \
    --host "$hosts" --map-by node --bind-to none --leave-session-attached \
    --mca plm_rsh_agent "$agent" --mca plm_rsh_no_tree_spawn 1 \
    --mca btl tcp,self --mca pml ob1 \
    --mca btl_tcp_if_include wan0 --mca oob_tcp_if_include wan0 \
    "$@" &
  ;;
mpich)
  launcher=$(command -v mpiexec.mpich || command -v mpiexec.hydra)
  # By TCP alone: the hosts' common kernel looks like one machine to UCX.
  UCX_TLS=tcp UCX_NET_DEVICES=wan0 on_first "$launcher" \
    -hosts "$hosts" -n $((ranks * 2)) -iface wan0 \
    -launcher ssh -launcher-exec "$agent" \
    "$@" &
  ;;
*)
  echo "two-hosts.sh: $kind is neither open-mpi nor mpich" >&2
  exit 2
  ;;
esac
# Signals are seen while it waits, not while a command runs in the foreground.
wait $!
