# SPDX-License-Identifier: Apache-2.0
#
#   boot.sh      in a guest with cloud-init: prints what that says of this boot, once it is through
cloud-init status --wait >/dev/null # done, or degraded: the rest says what matters
echo "datasource $(cloud-id)"
echo "instance $(cat /var/lib/cloud/data/instance-id)"
echo "hostname $(hostname)"
echo "boot $(cat /proc/sys/kernel/random/boot_id)"
