// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"encoding/xml"
	"regexp"
	"strings"
)

// What of a libvirt domain is said here, in libvirt's words (libvirt.org/formatdomain.html).
type (
	sysinfo struct {
		XMLName xml.Name `xml:"sysinfo"`
		Type    string   `xml:"type,attr"`
		System  *table   `xml:"system"`
		Chassis *table   `xml:"chassis"`
	}
	smbiosMode struct {
		XMLName xml.Name `xml:"os"`
		SMBIOS  mode     `xml:"smbios"`
	}
	mode struct {
		Mode string `xml:"mode,attr"`
	}
	domainUUID struct {
		XMLName xml.Name `xml:"uuid"`
		Text    string   `xml:",chardata"`
	}
	devices struct {
		XMLName    xml.Name `xml:"devices"`
		Controller *controller
		Disk       *disk
		Interfaces []ethernet
	}
	controller struct {
		XMLName xml.Name `xml:"controller"`
		Type    string   `xml:"type,attr"`
		Model   string   `xml:"model,attr"`
	}
	disk struct {
		XMLName  xml.Name `xml:"disk"`
		Type     string   `xml:"type,attr"`
		Device   string   `xml:"device,attr"`
		Driver   driver   `xml:"driver"`
		Source   source   `xml:"source"`
		Target   target   `xml:"target"`
		ReadOnly struct{} `xml:"readonly"`
	}
	driver struct {
		Name string `xml:"name,attr"`
		Type string `xml:"type,attr"`
	}
	source struct {
		File string `xml:"file,attr"`
	}
	target struct {
		Dev     string `xml:"dev,attr"`
		Bus     string `xml:"bus,attr,omitempty"`
		Managed string `xml:"managed,attr,omitempty"`
	}
	ethernet struct {
		XMLName xml.Name `xml:"interface"`
		Type    string   `xml:"type,attr"`
		MAC     address  `xml:"mac"`
		Target  target   `xml:"target"`
		Model   model    `xml:"model"`
	}
	address struct {
		Address string `xml:"address,attr"`
	}
	model struct {
		Type string `xml:"type,attr"`
	}
)

// libvirt are the machine's elements for a domain of libvirt's, one after another: uuid, sysinfo, os and
// devices, of which the last two are to be joined with the domain's own. What XML cannot hold is replaced.
func (m *machine) libvirt() string {
	parts := []any{domainUUID{Text: m.uuid}}
	info := sysinfo{Type: "smbios", System: m.system(), Chassis: m.chassis()}
	if info.System != nil || info.Chassis != nil {
		parts = append(parts, info, smbiosMode{SMBIOS: mode{"sysinfo"}})
	}
	if d := m.devices(); d != nil {
		parts = append(parts, d)
	}
	var b strings.Builder
	enc := xml.NewEncoder(&b)
	enc.Indent("", "  ")
	for _, part := range parts {
		// Neither these types nor a Builder can bring about an error.
		_ = enc.Encode(part)
	}
	return emptyElement.ReplaceAllString(b.String(), "/>")
}

// emptyElement is the end of a start tag with the end tag right behind it, which can stand nowhere else:
// texts and attributes have no ">".
var emptyElement = regexp.MustCompile(`></[a-z]+>`)

// devices are the drive and the cards; nil for none. A tap that is there already is not managed.
func (m *machine) devices() *devices {
	var d devices
	if m.drive != "" {
		d.Controller = &controller{Type: "scsi", Model: "virtio-scsi"}
		d.Disk = &disk{
			Type: "file", Device: "cdrom",
			Driver: driver{Name: "qemu", Type: "raw"},
			Source: source{m.drive},
			Target: target{Dev: "sda", Bus: "scsi"},
		}
	}
	for _, c := range m.cards {
		d.Interfaces = append(d.Interfaces, ethernet{
			Type: "ethernet", MAC: address{c.mac}, Target: target{Dev: c.tap, Managed: "no"}, Model: model{"virtio"},
		})
	}
	if d.Disk == nil && d.Interfaces == nil {
		return nil
	}
	return &d
}
