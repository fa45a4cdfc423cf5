// SPDX-License-Identifier: Apache-2.0

package dnsmasq_test

import (
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/nim/dnsmasq"
)

// leaseFile is one as dnsmasq 2.90 writes it.
const leaseFile = `1795193134 02:16:3e:00:00:05 10.11.12.5 web *
1795193134 02:16:3e:00:00:06 10.11.12.6 * 01:02:16:3e:00:00:06
duid 00:01:00:01:32:93:35:34:66:bd:8d:63:27:ab
1795193134 1040187397 fd00:1::5 web 00:03:00:01:02:16:3e:00:00:05
`

func TestStrays(t *testing.T) {
	t.Parallel()
	const both = "02:16:3e:00:00:05,id:*,10.11.12.5,[fd00:1::5]\n02:16:3e:00:00:06,id:*,10.11.12.6\n"
	for _, c := range []struct {
		name, before, now string
		want              []string
	}{
		{name: "nothing new", before: both, now: both},
		{name: "nothing known before", now: both},
		{name: "gone", before: both, now: both[:len(both)/2], want: []string{"10.11.12.6", "fd00:1::5"}},
		{
			name: "another's", before: both, now: "02:16:3e:00:00:07,id:*,10.11.12.5,[fd00:1::5]\n02:16:3e:00:00:06,id:*,10.11.12.6\n",
			want: []string{"10.11.12.5", "fd00:1::5"},
		},
		{name: "a name besides", before: both, now: "02:16:3e:00:00:05,id:*,10.11.12.5,[fd00:1::5],web\n02:16:3e:00:00:06,id:*,10.11.12.6\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, dnsmasq.Strays([]byte(leaseFile), []byte(c.before), []byte(c.now))); diff != "" {
				t.Errorf("strays (-want +got):\n%s", diff)
			}
		})
	}
}

// The messages, behind the fields of BOOTP that are mostly zero; tests/netns shows that dnsmasq takes them.
func TestReleaseMessages(t *testing.T) {
	t.Parallel()
	var got []string
	for _, m := range dnsmasq.ReleaseMessages([]byte(leaseFile), addr("10.11.12.1")) {
		if len(m) > 236 {
			m = m[236:]
		}
		got = append(got, hex.EncodeToString(m))
	}
	want := []string{
		"63825363" + "350107" + "36040a0b0c01" + "ff",
		"63825363" + "350107" + "36040a0b0c01" + "3d070102163e000006" + "ff",
		"08000001" + "0001000a0003000102163e000005" + "0002000e000100013293353466bd8d6327ab" +
			"000300283e0000050000000000000000" + "00050018fd0000010000000000000000000000050000000000000000",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

// Whatever is in a file of leases, what is made of it are messages that fit in a datagram.
func FuzzLeases(f *testing.F) {
	f.Add([]byte(leaseFile))
	f.Add([]byte("1 T5 fe80::1%x * 00\n1 02:16 1.2.3.4 * *\nduid \n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		for _, m := range dnsmasq.ReleaseMessages(file, addr("10.11.12.1")) {
			if len(m) > 1200 && len(file) < 1000 {
				t.Errorf("message of %d bytes", len(m))
			}
		}
	})
}
