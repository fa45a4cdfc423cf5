// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"fmt"
	"strings"
)

// qemu are the machine's arguments for qemu-system-*. The drive is a CD-ROM at a controller of its own:
// Debian's cloud kernel has a driver for virtio-scsi and none for the AHCI of QEMU's machine q35.
func (m *machine) qemu() []string {
	args := []string{"-uuid", m.uuid}
	args = append(args, smbios(1, m.system())...)
	args = append(args, smbios(3, m.chassis())...)
	if m.drive != "" {
		args = append(args,
			"-device", "virtio-scsi-pci,id=md-bus",
			"-drive", "if=none,id=md-drive,media=cdrom,readonly=on,format=raw,file="+value(m.drive),
			"-device", "scsi-cd,bus=md-bus.0,drive=md-drive",
		)
	}
	for i, c := range m.cards {
		args = append(args,
			"-netdev", fmt.Sprintf("tap,id=md-net%d,ifname=%s,script=no,downscript=no", i, value(c.tap)),
			"-device", fmt.Sprintf("virtio-net-pci,netdev=md-net%d,mac=%s", i, c.mac),
		)
	}
	return args
}

// smbios is the argument for one of the SMBIOS tables; none for nil.
func smbios(kind int, t *table) []string {
	if t == nil {
		return nil
	}
	options := []string{fmt.Sprintf("type=%d", kind)}
	for _, e := range t.Entries {
		options = append(options, e.Name+"="+value(e.Text))
	}
	return []string{"-smbios", strings.Join(options, ",")}
}

// value is a text as the value of an option: a comma would end it, and is doubled (QEMU, "Keyval
// arguments"). A NUL ends every argument of a process, and so ends the text.
func value(text string) string {
	text, _, _ = strings.Cut(text, "\x00")
	return strings.ReplaceAll(text, ",", ",,")
}
