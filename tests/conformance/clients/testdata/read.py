# SPDX-License-Identifier: Apache-2.0
"""Reads metadata as a guest would, with cloud-init's own datasources, and prints what they understood.

In, on standard input, a JSON object:
  datasource  "openstack", "ec2", "nocloud-net", "nocloud", "configdrive" or "cloudstack"
  firmware    what the firmware's tables say, by dmidecode's keywords
  image       path of the guest's only drive; "" for none
  nics        MAC -> name of the cards that the guest has
Out, on standard output, a JSON object with what the datasource understood, {} if it found nothing; "network"
is, for each of cloud-init's renderers, file -> content that the guest would get. A failure is an exception.

Nothing of cloud-init is replaced but what a guest has and this process has not: the firmware's tables, the
cards, a kernel that mounts ISO 9660, leases of a DHCP client, and a file system of its own.
"""
import base64
import json
import logging
import os
import subprocess
import sys
import tempfile

from cloudinit import distros, dmi, helpers, net, sources, util
from cloudinit.net import dhcp
from cloudinit.sources import (
    DataSourceCloudStack,
    DataSourceConfigDrive,
    DataSourceEc2,
    DataSourceNoCloud,
    DataSourceOpenStack,
)

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../cloudinit"))
from renderers import render  # noqa: E402

DATASOURCES = {
    "openstack": DataSourceOpenStack.DataSourceOpenStack,
    "ec2": DataSourceEc2.DataSourceEc2,
    "nocloud-net": DataSourceNoCloud.DataSourceNoCloudNet,
    "nocloud": DataSourceNoCloud.DataSourceNoCloud,
    "configdrive": DataSourceConfigDrive.DataSourceConfigDrive,
    "cloudstack": DataSourceCloudStack.DataSourceCloudStack,
}


def mount_image(device, callback, data=None, **_):
    """util.mount_cb for a kernel without ISO 9660: the tree is unpacked, by its Rock Ridge names."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["xorriso", "-osirrox", "on", "-indev", device, "-extract", "/", folder],
            check=True, capture_output=True)
        return callback(folder) if data is None else callback(folder, data)


def find_image(image):
    """util.find_devs_with on a machine whose only device is the image, as the system's blkid sees it."""
    def find(criteria=None, path=None, **_):
        if not image or path:
            return []
        out = subprocess.run(["blkid", "-p", "-o", "export", image], check=True, capture_output=True, text=True)
        return [image] if criteria in out.stdout.splitlines() else []
    return find


def be_guest(request, files):
    """Gives this process what a guest has. Files that cloud-init puts into the guest go into files."""
    dmi.read_dmi_data = request["firmware"].get
    util.find_devs_with = find_image(request["image"])
    util.mount_cb = mount_image
    net.get_interfaces_by_mac = lambda *_, **__: request["nics"]
    dhcp.networkd_get_option_from_leases = lambda *_, **__: None
    DataSourceCloudStack.get_latest_lease = lambda *_: None
    DataSourceConfigDrive.write_injected_files = files.update


def config():
    """The configuration of an image, whose waiting is cut short."""
    wait = {"max_wait": 20, "timeout": 10}
    return {"datasource_list": ["None"], "datasource": {
        "Ec2": {"strict_id": "false", "metadata_urls": ["http://169.254.169.254"], **wait},
        "CloudStack": wait,
    }}


def text(blob):
    if blob is None:
        return None
    if isinstance(blob, str):
        blob = blob.encode()
    return base64.b64encode(blob).decode()


def main():
    request = json.load(sys.stdin)
    state, files = tempfile.TemporaryDirectory(), {}
    be_guest(request, files)
    paths = helpers.Paths({"cloud_dir": os.path.join(state.name, "lib"), "run_dir": os.path.join(state.name, "run")})
    distro = distros.fetch("debian")("debian", {}, paths)
    ds = DATASOURCES[request["datasource"]](config(), distro, paths)
    ds._fallback_interface = next(iter(request["nics"].values()))
    if not ds._get_data():
        json.dump({}, sys.stdout)
        return
    hostname = ds.get_hostname(fqdn=True)
    json.dump({
        "instance_id": ds.get_instance_id(),
        "hostname": getattr(hostname, "hostname", hostname),
        "keys": ds.get_public_ssh_keys(),
        "user_data": text(ds.userdata_raw),
        "vendor_data": text(ds.vendordata_raw),
        "vendor_data2": text(ds.vendordata2_raw),
        "availability_zone": ds.availability_zone,
        "region": ds.region,
        "cloud": ds.cloud_name,
        "version": getattr(ds, "version", None),
        "ec2": getattr(ds, "ec2_metadata", None) not in (None, {}, sources.UNSET),
        "network": render(ds.network_config, request["nics"]),
        "random_seed": text(ds.metadata.get("random_seed")),
        "files": {name: text(content) for name, content in files.items()},
        "password": (ds.get_config_obj() or {}).get("password"),
    }, sys.stdout)


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG)
    main()
