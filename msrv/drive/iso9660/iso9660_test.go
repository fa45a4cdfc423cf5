// SPDX-License-Identifier: Apache-2.0

package iso9660_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/drive/iso9660"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// noCloud is a drive as the NoCloud data source of cloud-init reads it.
func noCloud(userData []byte) iso9660.Image {
	return iso9660.Image{
		VolumeID: "cidata",
		Time:     time.Date(2026, time.February, 3, 4, 5, 6, 0, time.UTC),
		Files: []iso9660.File{
			{Path: "meta-data", Data: []byte("instance-id: app-1/7\nlocal-hostname: app-1\n")},
			{Path: "network-config", Data: []byte("version: 2\nethernets: {}\n")},
			{Path: "user-data", Data: userData},
			{Path: "vendor-data"},
		},
	}
}

// configDrive is a drive as the ConfigDrive data source reads it, with the user
// data under three paths.
func configDrive(userData []byte) iso9660.Image {
	im := iso9660.Image{VolumeID: "config-2", Time: time.Date(2026, time.February, 3, 4, 5, 6, 0, time.UTC)}
	add := func(path string, data []byte) { im.Files = append(im.Files, iso9660.File{Path: path, Data: data}) }
	for _, version := range []string{"2018-08-27", "latest"} {
		dir := "openstack/" + version + "/"
		add(dir+"meta_data.json", []byte(`{"uuid": "app-1/7", "hostname": "app-1"}`))
		add(dir+"network_data.json", []byte(`{"links": [], "networks": [], "services": []}`))
		add(dir+"user_data", userData)
		add(dir+"vendor_data.json", []byte(`{}`))
		add(dir+"vendor_data2.json", []byte(`{}`))
	}
	add("openstack/content/0000", []byte("first\n"))
	add("openstack/content/0001", []byte("second\n"))
	add("ec2/latest/meta-data.json", []byte(`{"instance-id": "i-00000001"}`))
	add("ec2/latest/user-data", userData)
	return im
}

func build(t testing.TB, im iso9660.Image) []byte {
	t.Helper()
	b, err := im.Build()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wanted is what both hierarchies of an image shall hold.
func wanted(files []iso9660.File) contents {
	tree := contents{}
	for _, f := range files {
		tree[f.Path] = string(f.Data)
		for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
			tree[dir+"/"] = ""
		}
	}
	return tree
}

// checkImage reads a built image and compares it with its description, and
// with what WriteTo makes of that.
func checkImage(t testing.TB, im iso9660.Image, b []byte) {
	t.Helper()
	var w bytes.Buffer
	if n, err := im.WriteTo(&w); err != nil || n != int64(len(b)) || !bytes.Equal(w.Bytes(), b) {
		t.Errorf("WriteTo wrote %d bytes and returned %d, %v; Build made %d bytes", w.Len(), n, err, len(b))
	}
	want := volumeView{label: im.VolumeID, tree: wanted(im.Files)}
	rockRidge, joliet := readImage(t, b)
	if diff := cmp.Diff(want, rockRidge, cmp.AllowUnexported(volumeView{})); diff != "" {
		t.Errorf("Rock Ridge hierarchy (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, joliet, cmp.AllowUnexported(volumeView{})); diff != "" {
		t.Errorf("Joliet hierarchy (-want +got):\n%s", diff)
	}
}

// dump is an image as text, in the form of xxd -a (xxd -r makes it an image).
func dump(b []byte) string {
	var s strings.Builder
	zero, skipped := make([]byte, 16), false
	for at := 0; at < len(b); at += 16 {
		row := b[at : at+16]
		if bytes.Equal(row, zero) && at > 0 && at < len(b)-16 {
			if !skipped {
				s.WriteString("*\n")
			}
			skipped = true
			continue
		}
		skipped = false
		text := slices.Clone(row)
		for i, c := range text {
			if c < ' ' || c > '~' {
				text[i] = '.'
			}
		}
		fmt.Fprintf(&s, "%08x:", at)
		for i := 0; i < 16; i += 2 {
			fmt.Fprintf(&s, " %x", row[i:i+2])
		}
		fmt.Fprintf(&s, "  %s\n", text)
	}
	return s.String()
}

func TestGolden(t *testing.T) {
	t.Parallel()
	userData := []byte("#cloud-config\nhostname: app-1\n")
	for name, im := range map[string]iso9660.Image{
		"nocloud":     noCloud(userData),
		"configdrive": configDrive(userData),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := build(t, im)
			checkImage(t, im, b)
			file := filepath.Join("testdata", name+".xxd")
			if *update {
				if err := os.WriteFile(file, []byte(dump(b)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), dump(b)); diff != "" {
				t.Errorf("image (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOrderOfFilesDoesNotMatter(t *testing.T) {
	t.Parallel()
	im := configDrive(bytes.Repeat([]byte("data\n"), 1000))
	want := build(t, im)
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		random.Shuffle(len(im.Files), func(i, j int) { im.Files[i], im.Files[j] = im.Files[j], im.Files[i] })
		before := slices.Clone(im.Files)
		if !bytes.Equal(build(t, im), want) {
			t.Fatalf("other bytes for the order %v", im.Files)
		}
		if diff := cmp.Diff(before, im.Files); diff != "" {
			t.Fatalf("files of the caller were changed (-want +got):\n%s", diff)
		}
	}
}

func TestTime(t *testing.T) {
	t.Parallel()
	const modified = 16*sector + 830 // in the primary volume descriptor
	kathmandu := time.FixedZone("", 5*3600+45*60)
	for _, tc := range []struct {
		name string
		time time.Time
		want string
	}{
		{"zero", time.Time{}, "1980010100000000\x00"},
		{"first year", time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), "1900010100000000\x00"},
		{"last second", time.Date(2155, 12, 31, 23, 59, 59, 999, time.UTC), "2155123123595900\x00"},
		{"elsewhere, with a fraction", time.Date(2026, 3, 1, 0, 30, 15, 987654321, kathmandu), "2026022818451500\x00"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := build(t, iso9660.Image{VolumeID: "cidata", Time: tc.time})
			readImage(t, b)
			if diff := cmp.Diff(tc.want, string(b[modified:modified+17])); diff != "" {
				t.Errorf("modification time (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	big := bytes.Repeat([]byte{1}, 1<<20)
	once := iso9660.Image{VolumeID: "v", Files: []iso9660.File{{Path: "a", Data: big}, {Path: "b"}}}
	thrice := iso9660.Image{VolumeID: "v", Files: []iso9660.File{
		{Path: "a", Data: big}, {Path: "b"}, {Path: "c", Data: slices.Clone(big)}, {Path: "d", Data: []byte{}}, {Path: "e", Data: big},
	}}
	for _, tc := range []struct {
		name  string
		image iso9660.Image
		want  int // sectors
	}{
		{"no files: padded for BusyBox", iso9660.Image{VolumeID: "v"}, iso9660.MinSectors},
		{"small files: padded for BusyBox", noCloud([]byte("x")), iso9660.MinSectors},
		{"large file", once, 25 + 1 + 512},
		{"equal files are stored once", thrice, 25 + 1 + 512},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := build(t, tc.image)
			checkImage(t, tc.image, b)
			if got := len(b) / iso9660.SectorSize; got != tc.want {
				t.Errorf("image has %d sectors, want %d", got, tc.want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	file := func(paths ...string) iso9660.Image {
		im := iso9660.Image{VolumeID: "cidata"}
		for _, p := range paths {
			im.Files = append(im.Files, iso9660.File{Path: p})
		}
		return im
	}
	many := func(n int, format string) iso9660.Image {
		var paths []string
		for i := range n {
			paths = append(paths, fmt.Sprintf(format, i))
		}
		return file(paths...)
	}
	label := func(id string) iso9660.Image { return iso9660.Image{VolumeID: id} }
	at := func(year int) iso9660.Image {
		return iso9660.Image{VolumeID: "cidata", Time: time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC)}
	}
	// Untouched pages of zeros cost no memory.
	huge := make([]byte, iso9660.MaxSize+1)
	data := func(sizes ...int) iso9660.Image {
		im := iso9660.Image{VolumeID: "cidata"}
		for i, n := range sizes {
			im.Files = append(im.Files, iso9660.File{Path: fmt.Sprint("f", i), Data: huge[:n]})
		}
		return im
	}
	const n64 = "0123456789012345678901234567890123456789012345678901234567890123"
	for _, tc := range []struct {
		name  string
		image iso9660.Image
		want  string // after "build image …: "
	}{
		{"no label", label(""), `empty volume label`},
		{"long label", label("12345678901234567"), `volume label has 17 bytes, more than 16`},
		{"label with a slash", label("a/b"), `character '/' is not allowed in volume labels`},
		{"label outside ASCII", label("é"), `character 'é' is not allowed in volume labels`},
		{"label not UTF-8", label("a\xff"), `character '�' is not allowed in volume labels`},
		{"label ending in a space", label("a "), `volume label ends in a space, which readers cut off`},
		{"early time", at(1899), `year 1899 of the time stamp is not in 1900 to 2155`},
		{"late time", at(2156), `year 2156 of the time stamp is not in 1900 to 2155`},

		{"empty path", file(""), `add file "": not a clean relative path in UTF-8`},
		{"root", file("."), `add file ".": not a clean relative path in UTF-8`},
		{"absolute path", file("/a"), `add file "/a": not a clean relative path in UTF-8`},
		{"dot dot", file("a/../b"), `add file "a/../b": not a clean relative path in UTF-8`},
		{"only dot dot", file(".."), `add file "..": not a clean relative path in UTF-8`},
		{"dot", file("./a"), `add file "./a": not a clean relative path in UTF-8`},
		{"trailing slash", file("a/"), `add file "a/": not a clean relative path in UTF-8`},
		{"empty name", file("a//b"), `add file "a//b": not a clean relative path in UTF-8`},
		{"not UTF-8", file("a\xff"), `add file "a\xff": not a clean relative path in UTF-8`},
		{"backslash", file(`a\b`), `add file "a\\b": name "a\\b": character '\\' is not allowed in Joliet names`},
		{"colon", file("d/a:b"), `add file "d/a:b": name "a:b": character ':' is not allowed in Joliet names`},
		{"NUL", file("a\x00"), `add file "a\x00": name "a\x00": character U+0000 is not printable`},
		{"newline", file("a\nb/c"), `add file "a\nb/c": name "a\nb": character U+000A is not printable`},
		{"right-to-left override", file("a\u202eb"), `add file "a\u202eb": name "a\u202eb": character U+202E is not printable`},
		{"beyond UCS-2", file("😀"), `add file "😀": name "😀": character '😀' is beyond the UCS-2 of Joliet names`},
		{"trailing dot", file("a./b"), `add file "a./b": name "a.": ends in '.', which Joliet readers cut off`},
		{"trailing space", file("a "), `add file "a ": name "a ": ends in ' ', which Joliet readers cut off`},
		{"long name", file(n64 + "4"), `add file "` + n64 + `4": name "` + n64 + `4": has 65 characters, more than 64`},
		{"many bytes", file(strings.Repeat("日", 56)),
			`add file "` + strings.Repeat("日", 56) + `": name "` + strings.Repeat("日", 56) + `": has 168 bytes, more than 165`},
		{"deep", file("1/2/3/4/5/6/7/8/9"), `add file "1/2/3/4/5/6/7/8/9": path has 9 levels, more than 8`},
		{"long path", file(strings.Repeat("a/", 120) + "a"), `add file "` + strings.Repeat("a/", 120) + `": path has 241 bytes, more than 240`},

		{"path twice", file("a/b", "c", "a/b"), `add file "a/b": path is there twice`},
		{"file as directory", file("a/b", "a-b", "a"), `add file "a/b": "a" is a file and cannot be a directory`},
		{"file as directory, deep", file("d/a/b/c", "d/a"), `add file "d/a/b/c": "d/a" is a file and cannot be a directory`},
		{"many files", many(iso9660.MaxFiles+1, "f%d"), `4097 files, more than 4096`},
		{"many directories", many(iso9660.MaxDirectories, "%04d/f"), `add file "1023/f": more than 1024 directories`},
		{"large file", data(iso9660.MaxSize + 1), `add file "f0": image is larger than 2147481600 bytes`},
		{"large files", data(iso9660.MaxSize/2, iso9660.MaxSize/2+2048), `add file "f1": image is larger than 2147481600 bytes`},
		{"no room for directories", data(iso9660.MaxSize), `image is larger than 2147481600 bytes`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			want := fmt.Sprintf("build image %q: %s", tc.image.VolumeID, tc.want)
			b, err := tc.image.Build()
			if b != nil || err == nil {
				t.Fatalf("Build made %d bytes, error %v", len(b), err)
			}
			if diff := cmp.Diff(want, err.Error()); diff != "" {
				t.Errorf("error of Build (-want +got):\n%s", diff)
			}
			var w bytes.Buffer
			n, err := tc.image.WriteTo(&w)
			if n != 0 || w.Len() != 0 || err == nil || err.Error() != want {
				t.Errorf("WriteTo wrote %d bytes and returned %d, %v", w.Len(), n, err)
			}
		})
	}
}

// TestLimits has what is just allowed.
func TestLimits(t *testing.T) {
	t.Parallel()
	n64 := strings.Repeat("n", iso9660.MaxName)
	many := func(n int, format string) (files []iso9660.File) {
		for i := range n {
			files = append(files, iso9660.File{Path: fmt.Sprintf(format, i)})
		}
		return files
	}
	deep := strings.Repeat("d/", iso9660.MaxDepth-1)
	for _, tc := range []struct {
		name  string
		label string
		files []iso9660.File
	}{
		{"label", "ABCdef-0123 _.~!", nil},
		{"name in ASCII", "v", []iso9660.File{{Path: n64}, {Path: "d/" + n64[1:] + "/x"}}},
		{"name of two-byte characters", "v", []iso9660.File{{Path: strings.Repeat("é", 64)}}},
		{"name of three-byte characters", "v", []iso9660.File{{Path: strings.Repeat("日", 55)}, {Path: strings.Repeat("本", 55) + "/f"}}},
		{"last character", "v", []iso9660.File{{Path: "�"}}},
		{"special characters", "v", []iso9660.File{{Path: ` !"#$%&'()+,-.<=>@[]^_{|}~`}, {Path: ".a"}, {Path: "..a"}, {Path: "-"}}},
		{"depth", "v", []iso9660.File{{Path: deep + "f"}}},
		{"path", "v", []iso9660.File{{Path: n64 + "/" + n64 + "/" + n64 + "/" + n64[:iso9660.MaxPath-3*65]}}},
		{"files", "v", many(iso9660.MaxFiles, "f%d")},
		{"equal short names", "v", many(iso9660.MaxFiles, "much the same name %d")},
		{"directories", "v", many(iso9660.MaxDirectories-1, "directory %d/file")},
		{"short names run into numbers", "v", []iso9660.File{
			{Path: "abcdefg0"}, {Path: "abcdefgh1"}, {Path: "abcdefgh2"}, {Path: "ABCDEFGH"}, {Path: "abcdefgh/x"}, {Path: "abcdefg1/x"},
			{Path: "a.b"}, {Path: "a.B"}, {Path: "A"}, {Path: "a/a"}, {Path: "a.b.c"}, {Path: "a_b.c"}, {Path: "a.html"}, {Path: "a.htm"},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			im := iso9660.Image{VolumeID: tc.label, Files: tc.files}
			checkImage(t, im, build(t, im))
		})
	}
}

// brokenWriter takes some bytes and then fails, or falls short without an error
// if it has none.
type brokenWriter struct {
	bytes.Buffer
	room int
	err  error
}

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.Len()+len(p) <= w.room {
		return w.Buffer.Write(p)
	}
	n, _ := w.Buffer.Write(p[:w.room-w.Len()])
	return n, w.err
}

func TestWriteToReportsEveryError(t *testing.T) {
	t.Parallel()
	// Large and small contents, full sectors and padding, in several writes.
	im := configDrive(bytes.Repeat([]byte("0123456\n"), 20_001))
	im.Files = append(im.Files, iso9660.File{Path: "zz", Data: bytes.Repeat([]byte("full"), 16<<10)})
	want := build(t, im)
	errDisk := errors.New("disk is full")
	for at := 0; at < len(want); at += iso9660.SectorSize {
		for _, room := range []int{at, at + 1, at + iso9660.SectorSize - 1} {
			for _, tc := range []struct{ err, want error }{{errDisk, errDisk}, {nil, io.ErrShortWrite}} {
				w := &brokenWriter{room: room, err: tc.err}
				n, err := im.WriteTo(w)
				if !errors.Is(err, tc.want) || n != int64(room) || !bytes.Equal(w.Bytes(), want[:room]) {
					t.Fatalf("writer with room for %d bytes took %d; WriteTo returned %d, %v", room, w.Len(), n, err)
				}
			}
		}
	}
	w := &brokenWriter{room: len(want)}
	if n, err := im.WriteTo(w); n != int64(len(want)) || err != nil || !bytes.Equal(w.Bytes(), want) {
		t.Fatalf("WriteTo returned %d, %v for an image of %d bytes", n, err, len(want))
	}
}
