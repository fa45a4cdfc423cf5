# SPDX-License-Identifier: Apache-2.0
#
#   userdata.sh [LINE...]      prints user data for cloud-init that lets the owner of KEY in, and the lines
cat <<END
#cloud-config
disable_root: false
ssh_genkeytypes: [ed25519] # others take an emulated guest long
ssh_authorized_keys:
- $(ssh-keygen -y -f "$KEY")
END
[ $# = 0 ] || printf '%s\n' "$@"
