# SPDX-License-Identifier: Apache-2.0
"""cloud-init's network renderers, fed with a network configuration in place of a machine's."""

import copy
import os
import tempfile
from unittest import mock

from cloudinit import util
from cloudinit.distros import rhel
from cloudinit.net import eni, netplan, network_state, networkd, sysconfig


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
    """Renderer -> file -> content, for a network configuration in version 1 or 2, in a guest that has the
    cards of nics: MAC -> name. None for no configuration."""
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
