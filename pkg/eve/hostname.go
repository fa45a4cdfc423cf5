// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"cmp"
	"strings"
)

// maxLabel is the longest DNS label, in bytes (RFC 1035, 2.3.4).
const maxLabel = 63

// Hostname is an app instance's name in the network, without domain: what its metadata says, else its display name, else
// its UUID; always a DNS label. The guest is told it, and DNS answers to it.
func Hostname(app *AppInstanceConfig, m *InstanceMetadata) string {
	return cmp.Or(Label(m.Hostname), Label(app.DisplayName), app.UUIDandVersion.UUID.String())
}

// Label makes a DNS label (RFC 1123: letters, digits and inner hyphens) out of free text; "" when nothing of the text can
// stand in one. Display names are free text, and a guest that is told a hostname with a space in it believes it.
func Label(text string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	label := b.String()
	if len(label) > maxLabel {
		label = label[:maxLabel]
	}
	return strings.TrimRight(label, "-")
}

// Domain makes a domain out of free text: labels of Label, joined; "" when none is left.
func Domain(text string) string {
	var labels []string
	for part := range strings.SplitSeq(text, ".") {
		if l := Label(part); l != "" {
			labels = append(labels, l)
		}
	}
	return strings.Join(labels, ".")
}
