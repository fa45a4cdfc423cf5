# SPDX-License-Identifier: Apache-2.0
#
# Looks at what the agents of the node publish. EDEN is eden's program.
#
#   node.sh certificate TYPE FILE      returns when the controller's certificate of that type is the one in FILE: 1 signs, 3 encrypts
#   node.sh block APP [PATTERN]        returns when the metadata server's state of the app's encrypted user data has an error with
#                                      PATTERN, or, without PATTERN, none; prints that state

# files TOPIC: what agents have of it, with the place where older EVEs have it. The shell of the node expands the names.
files() { "$EDEN" eve ssh "cat /run/*/$1/*.json /persist/status/*/$1/*.json 2>/dev/null; true"; }

case $1 in
certificate)
	# What controllers deliver has no newline at its end.
	want=$(printf '%s' "$(cat "$3")" | base64 -w0)
	until files ControllerCert | jq -r --argjson type "$2" 'select(.Type == $type) | .Cert' | grep -qxF "$want"; do
		echo "the node does not have $3 yet" >&2
		sleep 2
	done
	;;
block)
	id=$("$EDEN" pod ps | awk -v app="$2" '$1 == app { print $3 }')
	# EVE's own agents have a state of the same block, and another opinion of it.
	until state=$("$EDEN" eve ssh "cat /run/mdsrv/CipherBlockStatus/$id.json /persist/status/mdsrv/CipherBlockStatus/$id.json 2>/dev/null; true") &&
		jq -e --arg want "$3" '(.Error == "") == ($want == "") and (.Error | contains($want))' <<<"$state" >&2; do
		echo "not yet: ${state:0:300}" >&2
		sleep 2
	done
	printf '%s\n' "$state"
	;;
*) exit 2 ;;
esac
