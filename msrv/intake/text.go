// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"encoding/base64"
	"strings"

	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// maxLabel is the longest DNS label, in bytes (RFC 1035 section 2.3.4).
const maxLabel = 63

// hostLabel makes a DNS label (RFC 1123: letters, digits and inner hyphens) out of free text; "" when
// nothing of the text can stand in one. Display names are free text, and a guest that is told a
// hostname with a space in it believes it.
func hostLabel(text string) string {
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

// cleanDomain makes a domain out of free text: labels of hostLabel, joined; "" when none is left.
func cleanDomain(text string) string {
	var labels []string
	for part := range strings.SplitSeq(text, ".") {
		if l := hostLabel(part); l != "" {
			labels = append(labels, l)
		}
	}
	return strings.Join(labels, ".")
}

// decodeBase64 decodes standard base64 with or without line breaks, as EVE does.
func decodeBase64(text string) (instance.Opaque, error) {
	return base64.StdEncoding.DecodeString(strings.TrimSpace(text))
}
