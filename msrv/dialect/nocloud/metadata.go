// SPDX-License-Identifier: Apache-2.0

package nocloud

import (
	"bytes"
	"fmt"
	"regexp"
	"unicode/utf8"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

func metaData(in *instance.Instance) (*document.Document, error) {
	md := metaDataFile{
		InstanceID:       in.ID(),
		AvailabilityZone: in.AvailabilityZone,
		Region:           in.Region,
		InstanceType:     in.InstanceType,
		LaunchIndex:      in.LaunchIndex,
	}
	if !namesHost(in.UserData) {
		md.LocalHostname = in.FQDN()
	}
	for _, k := range dialect.Keys(in) {
		md.PublicKeys = append(md.PublicKeys, k.Data)
	}
	return yaml(md)
}

// hostKey is a key at the top level of a cloud-config by which a user names the host.
const hostKey = `(?m)^["']?(hostname|fqdn|preserve_hostname)["']?[ \t]*:([ \t\r]|$)`

// namesHost tells whether user data is a #cloud-config that names the host itself: the name is then left
// to it (EVE, domainmgr).
func namesHost(userData []byte) bool {
	if !bytes.HasPrefix(userData, []byte("#cloud-config")) {
		return false
	}
	found, err := regexp.Match(hostKey, userData)
	return found && err == nil
}

// yaml is a document in the common part of JSON and YAML 1.1. The two differ in what a string may hold
// as it is: YAML readers refuse control characters and two non-characters that JSON lets pass, and fold
// U+0085, so these are escaped.
func yaml(v any) (*document.Document, error) {
	body, err := document.Marshal(v)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(body))
	for _, r := range string(body) {
		if r >= 0x7f && r <= 0x9f || r == 0xfffe || r == 0xffff {
			out = fmt.Appendf(out, `\u%04x`, r)
			continue
		}
		out = utf8.AppendRune(out, r)
	}
	return document.New(document.TypeJSON, out), nil
}
