# SPDX-License-Identifier: Apache-2.0
"""Boots a guest with cloud-init's data source CloudStack, and prints what it understood as JSON.

usage: boot.py ROUTER PASSWORD_SERVER FOLDER

ROUTER and PASSWORD_SERVER are host:port; FOLDER takes what cloud-init writes. Nothing of cloud-init is
replaced but the search for the router. Its client of the password server puts ":8080" behind the address:
behind a path it is a part of that, and the server takes any.
"""

import base64
import json
import os
import sys

from cloudinit import distros, helpers
from cloudinit.sources import DataSourceCloudStack as cloudstack


def main(router, passwords, folder):
    client = cloudstack.CloudStackPasswordServerClient
    cloudstack.get_vr_address = lambda: router
    cloudstack.CloudStackPasswordServerClient = lambda _: client(passwords + "/port")
    paths = helpers.Paths({"cloud_dir": os.path.join(folder, "lib"), "run_dir": os.path.join(folder, "run")})
    os.makedirs(paths.run_dir)
    distro = distros.fetch("debian")("debian", {}, paths)
    ds = cloudstack.DataSourceCloudStack({}, distro, paths)
    if not ds.get_data():  # also writes the instance's data, which asks for the zone
        sys.exit("cloud-init found no data")
    cfg = ds.get_config_obj()
    if cfg and cfg != {"ssh_pwauth": True, "password": cfg["password"], "chpasswd": {"expire": False}}:
        sys.exit("configuration %r" % cfg)
    hostname = ds.get_hostname(fqdn=True)
    json.dump({
        "instance-id": ds.get_instance_id(),
        "availability-zone": ds.availability_zone,
        "hostname": getattr(hostname, "hostname", hostname),
        "public-keys": ds.get_public_ssh_keys(),
        "user-data": base64.b64encode(ds.userdata_raw or b"").decode(),
        "metadata": ds.metadata,
        "password": cfg.get("password", ""),
    }, sys.stdout)


main(*sys.argv[1:])
