// SPDX-License-Identifier: Apache-2.0

package openstack

import (
	"slices"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// devices are the cards and disks of an instance, what its hardware is: bonds and VLANs are not among
// them. Before Rocky a card with neither tags nor a VLAN is not told, as in Nova.
func devices(nics []instance.Adapter, disks []instance.BlockDevice, v string) []device {
	out := []device{}
	for i, a := range nics {
		if a.Kind != instance.Card {
			continue
		}
		d := device{Type: "nic", MAC: a.MAC.String(), Bus: "none", Address: "none", Tags: a.Tags}
		if v >= ocata {
			d.VLAN = onlyVLAN(nics, i)
		}
		if v >= rocky {
			d.VFTrusted = new(bool)
		}
		if len(d.Tags) > 0 || d.VLAN != 0 || d.VFTrusted != nil {
			out = append(out, d)
		}
	}
	return append(out, diskDevices(disks)...)
}

// onlyVLAN is the number of the VLAN that all traffic of a card is in; 0 for none. That is what Nova tells
// of a card: that nothing reaches its network but what the guest tags. So the card has one VLAN on it,
// neither addresses of its own nor a bond.
func onlyVLAN(nics []instance.Adapter, card int) int {
	if nics[card].IPv4.Method != instance.None || nics[card].IPv6.Method != instance.None {
		return 0
	}
	vlan := 0
	for _, a := range nics {
		if !slices.ContainsFunc(a.Over, func(name string) bool { return dialect.Named(nics, name) == card }) {
			continue
		}
		if a.Kind == instance.Bond || vlan != 0 {
			return 0
		}
		vlan = a.VLAN
	}
	return vlan
}

// diskDevices are the disks, each once: an instance tells one for every role that it has (EC2's "ami" and
// "root" are one disk).
func diskDevices(disks []instance.BlockDevice) []device {
	var out []device
	for _, b := range disks {
		d := device{Type: "disk", Bus: bus(b.Bus), Address: "none", Serial: b.Serial, Path: b.Device, Tags: b.Tags}
		told := func(other device) bool { return d.Path != "" && other.Path == d.Path }
		if !slices.ContainsFunc(out, told) {
			out = append(out, d)
		}
	}
	return out
}

// bus is Nova's word for the bus of a disk.
func bus(name string) string {
	switch name {
	case "virtio", "nvme", "pci":
		return "pci"
	case "sata", "ide":
		return "ide"
	case "scsi", "usb", "xen":
		return name
	}
	return "none"
}
