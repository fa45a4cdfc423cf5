# SPDX-License-Identifier: Apache-2.0
#
# Works in a guest, over SSH. EDEN is eden's program and KEY the private key by which guests let one in.
#
#   guest.sh wait PORT USER                                 returns when the guest on that port lets USER in
#   guest.sh run PORT USER SCRIPT [ARGUMENT...]             runs a script of this machine's in the guest
#   guest.sh until PATTERN PORT USER SCRIPT [ARGUMENT...]   runs it until it prints a line with PATTERN, and prints all then
#
# With VARIABLES set to NAME=value, scripts find that in their environment.

# within PORT USER COMMAND: what `eden sdn fwd` has for an address and a port, it fills in.
within() {
	"$EDEN" sdn fwd eth0 "$1" -- ssh -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=15 -o LogLevel=ERROR \
		-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -i "$KEY" -p FWD_PORT "$2@FWD_IP" "$3"
}

run() {
	local port=$1 user=$2 script=$3 command="$VARIABLES sh -s --"
	shift 3
	for argument; do command+=" $(printf %q "$argument")"; done
	within "$port" "$user" "$command" <"$script"
}

case $1 in
wait)
	until within "$2" "$3" true; do
		echo "nobody is let in yet" >&2
		sleep 5
	done
	;;
run) shift && run "$@" ;;
until)
	pattern=$2
	shift 2
	until said=$(run "$@") && grep -q -e "$pattern" <<<"$said"; do
		echo "not yet: ${said:0:200}" >&2
		sleep 5
	done
	printf '%s\n' "$said"
	;;
*) exit 2 ;;
esac
