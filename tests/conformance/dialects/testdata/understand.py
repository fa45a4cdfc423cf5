# SPDX-License-Identifier: Apache-2.0
"""What cloud-init understands of metadata: its own readers and renderers, without a network.

In, on standard input, a JSON object:
  reader  "openstack", "configdrive", "ec2", "cloudstack", "nocloud" or "nocloud-v1"
  tree    path -> base64 of the document; for ec2 and cloudstack also the listings, below
          "latest/meta-data", for the others the files of a directory
  nics    MAC -> name of the cards that the guest has
Out, on standard output, a JSON object with what the reader understood; "network" is, for each of
cloud-init's renderers, file -> content that the guest would get. A failure is an exception.
"""

import base64
import json
import os
import sys
import tempfile
from unittest import mock

from cloudinit import sources, util
from cloudinit.sources import DataSourceEc2, DataSourceNoCloud
from cloudinit.sources.helpers import ec2, openstack

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../cloudinit"))
from renderers import render  # noqa: E402


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
        "ec2": found.get("ec2-metadata"),
        "network": render(config, nics),
    }


def crawl(tree):
    """What cloud-init makes of a tree of listings and leaves, in EC2's form."""
    base = "http://metadata/latest/meta-data/"

    def get(url):
        return tree[url[len("http://metadata/") :].rstrip("/")]

    metadata = ec2.MetadataMaterializer(get(base), base, get).materialize()
    return {
        "instance-id": metadata["instance-id"],
        "metadata": metadata,
        "public-keys": sources.normalize_pubkey_data(metadata.get("public-keys")),
        "userdata": tree.get("latest/user-data"),
    }


def read_ec2(tree, nics):
    found = crawl(tree)
    network = found["metadata"].get("network")
    config = network and DataSourceEc2.convert_ec2_metadata_network_config(
        network, macs_to_nics=nics, fallback_nic="eth0"
    )
    return {**found, "network": render(config, nics)}


def read_cloudstack(tree, nics):
    return crawl(tree)


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


READERS = {
    "openstack": read_openstack,
    "configdrive": read_openstack,
    "ec2": read_ec2,
    "cloudstack": read_cloudstack,
    "nocloud": read_nocloud,
    "nocloud-v1": read_nocloud,
}


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
