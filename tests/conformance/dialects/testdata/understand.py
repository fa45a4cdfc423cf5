# SPDX-License-Identifier: Apache-2.0
"""What cloud-init understands of metadata: its own readers and renderers, without a network.

In, on standard input, a JSON object:
  reader  "openstack", "ec2" or "nocloud"
  tree    path -> base64 of the document; for openstack and nocloud the files of a directory, for
          ec2 also the listings, below "latest/meta-data"
  nics    MAC -> name of the cards that the guest has
Out, on standard output, a JSON object with what the reader understood; "network" is, for each of
cloud-init's renderers, file -> content that the guest would get. A failure is an exception.
"""

import base64
import copy
import json
import os
import sys
import tempfile
from unittest import mock

from cloudinit import sources, util
from cloudinit.distros import rhel
from cloudinit.net import eni, netplan, network_state, networkd, sysconfig
from cloudinit.sources import DataSourceNoCloud
from cloudinit.sources.helpers import ec2, openstack


def renderers():
    """cloud-init's renderers, none of which shall run a command."""
    return {
        "netplan": netplan.Renderer(
            {"netplan_path": "etc/netplan/50-cloud-init.yaml", "features": ["dhcp-use-domains"]}
        ),
        "eni": eni.Renderer({"eni_path": "etc/network/interfaces", "netrules_path": None}),
        "sysconfig": sysconfig.Renderer(rhel.Distro.renderer_configs["sysconfig"]),
        "networkd": networkd.Renderer({"network_conf_dir": "/etc/systemd/network/"}),
    }


def read_files(top):
    """Relative path -> text of all files below a directory."""
    found = {}
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, top)] = util.load_file(path)
    return found


def render(config, nics):
    """Renderer -> file -> content, for a network configuration in version 1 or 2."""
    if config is None:
        return None
    rendered = {}
    with mock.patch("cloudinit.net.get_interfaces_by_mac", return_value=nics), mock.patch(
        "cloudinit.net.network_state.get_interfaces_by_mac", return_value=nics
    ), mock.patch("cloudinit.util.chownbyname"):
        for name, renderer in renderers().items():
            state = network_state.parse_net_config_data(
                copy.deepcopy(config), skip_broken=False, renderer=renderer
            )
            with tempfile.TemporaryDirectory() as target:
                renderer.render_network_state(state, target=target)
                rendered[name] = read_files(target)
    return rendered


def write_tree(tree, top):
    for path, body in tree.items():
        path = os.path.join(top, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(body)


def read_openstack(tree, nics):
    with tempfile.TemporaryDirectory() as top:
        write_tree(tree, top)
        found = openstack.ConfigDriveReader(top).read_v2()
    network = found.get("networkdata")
    with mock.patch("cloudinit.net.get_ib_hwaddrs_by_interface", return_value={}):
        config = openstack.convert_net_json(network, known_macs=nics)
    return {
        "instance-id": found["metadata"]["instance-id"],
        "metadata": found["metadata"],
        "public-keys": sources.normalize_pubkey_data(found["metadata"].get("public_keys")),
        "userdata": found["userdata"],
        "vendordata": sources.convert_vendordata(found.get("vendordata")),
        "vendordata2": sources.convert_vendordata(found.get("vendordata2")),
        "files": found["files"],
        "network": render(config, nics),
    }


def read_ec2(tree, nics):
    base = "http://metadata/latest/meta-data/"

    def get(url):
        return tree[url[len("http://metadata/") :].rstrip("/")]

    listing = get(base)
    metadata = ec2.MetadataMaterializer(listing, base, get).materialize()
    return {
        "instance-id": metadata["instance-id"],
        "metadata": metadata,
        "public-keys": sources.normalize_pubkey_data(metadata.get("public-keys")),
        "userdata": tree.get("latest/user-data"),
    }


def read_nocloud(tree, nics):
    with tempfile.TemporaryDirectory() as top:
        write_tree(tree, top)
        seed = util.pathprefix2dict(
            top + "/",
            required=["user-data", "meta-data"],
            optional=["vendor-data", "network-config"],
        )
    data = DataSourceNoCloud._merge_new_seed({"meta-data": {}, "network-config": None}, seed)
    metadata = data["meta-data"]
    return {
        "instance-id": metadata["instance-id"],
        "metadata": metadata,
        "public-keys": sources.normalize_pubkey_data(metadata.get("public-keys")),
        "userdata": data["user-data"],
        "vendordata": data.get("vendor-data"),
        "network": render(data["network-config"], nics),
    }


READERS = {"openstack": read_openstack, "ec2": read_ec2, "nocloud": read_nocloud}


def jsonable(value):
    """Bytes as text, one character for each."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    raise TypeError(type(value))


def main():
    request = json.load(sys.stdin)
    tree = {path: base64.b64decode(body) for path, body in request["tree"].items()}
    answer = READERS[request["reader"]](tree, request["nics"])
    json.dump(answer, sys.stdout, default=jsonable, indent=2, sort_keys=True)


if __name__ == "__main__":
    main()
