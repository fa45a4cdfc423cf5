// SPDX-License-Identifier: Apache-2.0

package iso9660_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/lf-edge/eve-metadata/msrv/drive/iso9660"
)

// FuzzBuild makes images of foreign labels, paths and sizes. What is not
// refused must read back exactly, and must not depend on the order of files.
func FuzzBuild(f *testing.F) {
	f.Add("cidata", "meta-data\nuser-data\nvendor-data\n", []byte{8, 0, 1})
	f.Add("config-2", "openstack/latest/user_data\nopenstack/2018-08-27/user_data\nec2/latest/user-data", []byte{9, 9, 9})
	f.Add("v", "a\na/b\n", []byte{1})
	f.Add("v", "a.b\na.B\nA.b\na_b\nA\nа\n日本.txt\n", []byte{7, 8, 9, 16})
	f.Add("", "../x\n/x\nx/\nx.\nx \nx;1\n", []byte{})
	f.Add(" \x00", strings.Repeat("n", 65)+"\n"+strings.Repeat("d/", 8)+"x", []byte{0})
	f.Fuzz(func(t *testing.T, label, paths string, sizes []byte) {
		im := iso9660.Image{VolumeID: label}
		for i, p := range strings.Split(paths, "\n") {
			size := 0
			if len(sizes) > 0 {
				size = int(sizes[i%len(sizes)]) * 256 // 8 to a sector
				size += i%3 - 1
			}
			im.Files = append(im.Files, iso9660.File{Path: p, Data: bytes.Repeat([]byte{byte(i % 5)}, max(size, 0))})
		}
		b, err := im.Build()
		if err != nil {
			var w bytes.Buffer
			if n, werr := im.WriteTo(&w); n != 0 || w.Len() != 0 || werr == nil || werr.Error() != err.Error() {
				t.Fatalf("Build: %v; WriteTo: %d bytes, %v", err, n, werr)
			}
			return
		}
		checkImage(t, im, b)
		slices.Reverse(im.Files)
		if !bytes.Equal(build(t, im), b) {
			t.Fatal("other bytes in another order")
		}
	})
}
