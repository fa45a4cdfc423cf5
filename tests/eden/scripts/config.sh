# SPDX-License-Identifier: Apache-2.0
#
#   config.sh [JQ'S OPTIONS AND EXPRESSION]      changes the device's configuration, beyond what eden has commands for
set -e
"$EDEN" controller edge-node get-config --file config.json
jq "$@" config.json >changed.json
if cmp -s config.json changed.json; then
	echo "that changes nothing" >&2
	exit 1
fi
"$EDEN" controller edge-node set-config --file changed.json
