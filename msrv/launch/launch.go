// SPDX-License-Identifier: Apache-2.0

// Package launch works out what whoever starts an instance's virtual machine needs for the guest to find
// its metadata: what the firmware says, the drive, the taps.
//
// An instance comes in, with the path of its drive; an eve.InstanceLaunch goes out, which a Publisher
// publishes as a topic: the SMBIOS strings by datasource, and for the one that is chosen the same, with
// drive and network cards, as arguments of QEMU and as elements of a libvirt domain. msrv publishes it, and
// the command `render` shows it. Nothing here starts a machine.
//
// Where it has to run: a tap is in the network namespace of its app network, so QEMU has to be started
// there (nsenter --net=…), and so has the libvirtd that shall use it. A machine with cards in several
// networks needs a program that opens each tap in its namespace and hands QEMU the descriptors (fd= in
// place of ifname=); libvirt cannot do that. The drive is a file that root alone can read.
package launch

import (
	"slices"

	"github.com/google/uuid"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

const (
	// Drive is the datasource of a guest that reads its drive: by the drive's label, the firmware says
	// nothing.
	Drive = "drive"
	// fallback is what a guest asks where nobody said and there is no drive (EVE: MetaDataOpenStack).
	fallback = "openstack"
)

// Datasources are what an instance can choose: the drive, and the dialects that a firmware can point to.
func Datasources(dialects []dialect.Dialect) []string {
	names := []string{Drive}
	for _, d := range dialects {
		if d.Firmware != nil {
			names = append(names, d.Name)
		}
	}
	return names
}

// Of works out how to launch an instance. Path is where the image of its drive is, absolute, "" for none.
// What the guest is to use is the instance's Datasource; where that is "" or not to be had, the drive if
// there is one, OpenStack's otherwise, and nothing for an instance that is not to ask over HTTP, or that has no drive because
// its user data cannot be read: elsewhere it would do its first boot without, and never again.
func Of(dialects []dialect.Dialect, in *instance.Instance, path string) eve.InstanceLaunch {
	m := machine{uuid: in.UUID, drive: path, cards: cards(in)}
	firmware := firmwares(dialects, in)
	source := datasource(firmware, in, path)
	m.firmware = firmware[source]
	if m.firmware.UUID != "" {
		m.uuid = m.firmware.UUID
	}
	return eve.InstanceLaunch{
		UUIDandVersion: eve.UUIDandVersion{UUID: uuidOf(in), Version: in.Version},
		DisplayName:    in.Name,
		Datasource:     source,
		Drive:          path,
		Firmware:       firmware,
		QEMU:           m.qemu(),
		Libvirt:        m.libvirt(),
	}
}

// machine is what of a virtual machine concerns its metadata.
type machine struct {
	uuid     string // of the system
	firmware eve.LaunchFirmware
	drive    string // path; "": none
	cards    []card
}

// table is one of the SMBIOS tables: texts under the names that QEMU and libvirt have for them.
type (
	table struct {
		Entries []entry `xml:"entry"`
	}
	entry struct {
		Name string `xml:"name,attr"`
		Text string `xml:",chardata"`
	}
)

// system is what is said of the system (type 1) beside its UUID; nil for nothing.
func (m *machine) system() *table {
	return tableOf(entry{"product", m.firmware.Product}, entry{"serial", m.firmware.Serial})
}

// chassis is what is said of the chassis (type 3); nil for nothing.
func (m *machine) chassis() *table { return tableOf(entry{"asset", m.firmware.AssetTag}) }

// tableOf is a table of the entries that have a text; nil where none has.
func tableOf(entries ...entry) *table {
	said := slices.DeleteFunc(entries, func(e entry) bool { return e.Text == "" })
	if len(said) == 0 {
		return nil
	}
	return &table{said}
}

// card is a network card with the tap that is its host's end.
type card struct{ tap, mac string }

// cards are the instance's network cards that have a tap; a container's have none.
func cards(in *instance.Instance) []card {
	var out []card
	if in.Container {
		return nil
	}
	for _, a := range in.Adapters {
		if a.Kind == instance.Card && a.Port != "" && a.MAC != nil {
			out = append(out, card{tap: a.Port, mac: a.MAC.String()})
		}
	}
	return out
}

// firmwares are what the firmware can say, by datasource: nothing for a guest that may not ask.
func firmwares(dialects []dialect.Dialect, in *instance.Instance) map[string]eve.LaunchFirmware {
	found := make(map[string]eve.LaunchFirmware)
	for _, d := range dialects {
		if d.Firmware != nil && in.HTTP {
			found[d.Name] = eve.LaunchFirmware(d.Firmware(in))
		}
	}
	return found
}

// datasource chooses among the firmwares and the drive.
func datasource(firmware map[string]eve.LaunchFirmware, in *instance.Instance, path string) string {
	if _, known := firmware[in.Datasource]; known {
		return in.Datasource
	}
	if path != "" {
		return Drive
	}
	if in.Drive != instance.DriveNone && in.UserDataFault != "" {
		return ""
	}
	if _, known := firmware[fallback]; known {
		return fallback
	}
	return ""
}

// uuidOf is the instance's UUID as topics have it; all zeros for what is none.
func uuidOf(in *instance.Instance) uuid.UUID {
	id, err := uuid.Parse(in.UUID)
	if err != nil {
		return uuid.Nil
	}
	return id
}
