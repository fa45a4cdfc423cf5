# SPDX-License-Identifier: Apache-2.0
"""Reads metadata as a guest would, with cloud-init's own datasources, and prints what they understood.

usage: read.py openstack|ec2|nocloud-net|nocloud-drive IMAGE|- [MAC=NAME ...]

Nothing of cloud-init is replaced but what a guest has and this process has not: the firmware's tables
that make it look at a datasource, a kernel that mounts ISO 9660, and a place for its own files.
"""
import base64
import json
import logging
import os
import subprocess
import sys
import tempfile

from cloudinit import distros, helpers, sources, util
from cloudinit.sources import DataSourceEc2, DataSourceNoCloud, DataSourceOpenStack
from cloudinit.sources.helpers import openstack


def mount_image(device, callback, data=None, mtype=None, **_):
    """util.mount_cb for a kernel without ISO 9660: the tree is unpacked, by its Rock Ridge names."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["xorriso", "-osirrox", "on", "-indev", device, "-extract", "/", folder],
            check=True, capture_output=True)
        return callback(folder) if data is None else callback(folder, data)


def label_of(image):
    """The volume label that the system's blkid finds."""
    out = subprocess.run(["blkid", "-p", "-o", "value", "-s", "LABEL", image],
                         check=True, capture_output=True, text=True)
    return out.stdout.strip()


def type_of(image):
    out = subprocess.run(["blkid", "-p", "-o", "value", "-s", "TYPE", image],
                         check=True, capture_output=True, text=True)
    return out.stdout.strip()


def find_image(image):
    """util.find_devs_with on a machine whose only device is the image."""
    def find(criteria=None, **_):
        key, _, value = criteria.partition("=")
        have = {"LABEL": label_of, "LABEL_FATBOOT": lambda _: "", "TYPE": type_of}[key](image)
        return [image] if have == value else []
    return find


def text(blob):
    if blob is None:
        return None
    if isinstance(blob, str):
        blob = blob.encode()
    return base64.b64encode(blob).decode()


def main(kind, image, macs):
    state = tempfile.mkdtemp()
    paths = helpers.Paths({"cloud_dir": os.path.join(state, "lib"), "run_dir": os.path.join(state, "run")})
    distro = distros.fetch("debian")("debian", {}, paths)
    cfg = {"datasource_list": ["None"], "datasource": {
        "Ec2": {"strict_id": "false", "max_wait": 20, "timeout": 10, "metadata_urls": ["http://169.254.169.254"]},
        "NoCloud": {}}}
    if kind == "openstack":
        DataSourceOpenStack.detect_openstack = lambda **_: True
        ds = DataSourceOpenStack.DataSourceOpenStack(cfg, distro, paths)
    elif kind == "ec2":
        ds = DataSourceEc2.DataSourceEc2(cfg, distro, paths)
    elif kind == "nocloud-net":
        cfg["datasource"]["NoCloud"] = {"seedfrom": "http://169.254.169.254/nocloud/", "fs_label": None}
        ds = DataSourceNoCloud.DataSourceNoCloudNet(cfg, distro, paths)
    elif kind == "nocloud-drive":
        util.find_devs_with = find_image(image)
        util.mount_cb = mount_image
        ds = DataSourceNoCloud.DataSourceNoCloud(cfg, distro, paths)
    else:
        sys.exit("read.py: no datasource " + kind)
    if not ds._get_data():
        sys.exit("read.py: cloud-init does not accept the datasource")
    network = None
    if kind == "openstack":
        if ds.network_json not in (None, sources.UNSET):
            network = openstack.convert_net_json(ds.network_json, known_macs=macs)
    elif kind != "ec2":
        network = ds.network_config
    hostname = ds.get_hostname(fqdn=True)
    json.dump({
        "instance_id": ds.get_instance_id(),
        "hostname": getattr(hostname, "hostname", hostname),
        "keys": ds.get_public_ssh_keys(),
        "user_data": text(ds.userdata_raw),
        "vendor_data": text(ds.vendordata_raw),
        "availability_zone": ds.availability_zone,
        "version": getattr(ds, "version", None),
        "ec2": getattr(ds, "ec2_metadata", None) not in (None, {}, sources.UNSET),
        "network": network,
        "random_seed": text(ds.metadata.get("random_seed")),
    }, sys.stdout)


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG)
    main(sys.argv[1], sys.argv[2], dict(a.split("=", 1) for a in sys.argv[3:]))
