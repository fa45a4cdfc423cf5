// SPDX-License-Identifier: Apache-2.0

package guest_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/lf-edge/eve-metadata/tests/guest/image"
	"github.com/lf-edge/eve-metadata/tests/guest/report"
)

// largeText is user data of 100 kB.
func largeText() string {
	const line = "# all of this is for nothing, and has to arrive\n"
	text := userData("I am web")
	return text + strings.Repeat(line, (100_000-len(text))/len(line)+1)
}

// gzipped is user data as those send it who have much of it.
func gzipped() []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write([]byte(userData("I am web"))) // a buffer takes all
	_ = w.Close()
	return out.Bytes()
}

// mimeText is user data of two parts: one for cloud-init, and a script.
const mimeText = `MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="=="

--==
Content-Type: text/cloud-config

#cloud-config
ssh_genkeytypes: [ed25519]
write_files:
- path: /etc/guest/written
  content: "I am web\n"

--==
Content-Type: text/x-shellscript
Content-Disposition: attachment; filename="runs.sh"

#!/bin/sh
echo "script of $(cat /var/lib/cloud/data/instance-id)" >> /etc/guest/runs

--==--
`

// binaryUserData: user data that is for another than cloud-init reaches the guest byte for byte, and costs it nothing.
//
// Phases: boot.
func binaryUserData(t *testing.T, binary string) {
	data := make([]byte, 20_000)
	random := rand.NewChaCha8([32]byte{'g', 'u', 'e', 's', 't'})
	_, _ = random.Read(data) // which never fails
	copy(data, "\x7fELF\x00\x00\r\n\xff\xfe")
	datasource{
		image: image.Debian12,
		app: fields{
			"metadataType": "openstack", "userData": nil, "userDataBase64": base64.StdEncoding.EncodeToString(data),
		},
		wants: func(s *scene) *report.State {
			w := s.becomes("DataSourceOpenStackLocal [net,ver=2]", webUUID+"/1")
			w.Files = map[string]string{"vendor": "sold by blue\n"}
			w.Complaints = []string{`__init__.py[WARNING]: Unhandled non-multipart (text/x-not-multipart) userdata: 'b'\\x7fELF\\x00\\x00\\r'...'`}
			return w
		},
		then: func(_ *testing.T, _ *scene, g *guest) { g.checkUserData(string(data)) },
	}.boots(t, binary)
}
