// SPDX-License-Identifier: Apache-2.0

package guest_test

import (
	"bytes"
	"compress/gzip"
	"math/rand/v2"
	"strings"
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

// noise is user data of 20 kB that is for another than cloud-init, which says so.
func noise() []byte {
	data := make([]byte, 20_000)
	random := rand.NewChaCha8([32]byte{'g', 'u', 'e', 's', 't'})
	_, _ = random.Read(data) // which never fails
	copy(data, "\x7fELF\x00\x00\r\n\xff\xfe")
	return data
}

const noiseUnhandled = `__init__.py[WARNING]: Unhandled non-multipart (text/x-not-multipart) userdata: 'b'\\x7fELF\\x00\\x00\\r'...'`
