// SPDX-License-Identifier: Apache-2.0

package iso9660_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/drive/iso9660"
	"github.com/lf-edge/eve-metadata/tests/tool"
)

// run runs a program and returns what it wrote to its standard output.
func run(t testing.TB, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", cmd, err, out, stderr.String())
	}
	return string(out)
}

// readBack is one way to unpack an image with a program of others.
type readBack struct {
	name, program, install string
	args                   func(image, dir string) []string
}

// readBacks returns all ways: both hierarchies with three programs; 7z picks
// the Joliet one itself.
func readBacks() []readBack {
	return []readBack{
		{"bsdtar Rock Ridge", "bsdtar", "libarchive-tools", func(image, dir string) []string {
			return []string{"-x", "-f", image, "-C", dir, "--options", "iso9660:!joliet"}
		}},
		{"bsdtar Joliet", "bsdtar", "libarchive-tools", func(image, dir string) []string {
			return []string{"-x", "-f", image, "-C", dir, "--options", "iso9660:!rockridge"}
		}},
		{"xorriso Rock Ridge", "xorriso", "xorriso", func(image, dir string) []string {
			return []string{"-read_fs", "nojoliet", "-osirrox", "on", "-indev", image, "-extract", "/", dir}
		}},
		{"xorriso Joliet", "xorriso", "xorriso", func(image, dir string) []string {
			return []string{"-read_fs", "norock", "-osirrox", "on", "-indev", image, "-extract", "/", dir}
		}},
		{"7z", "7z", "p7zip-full", func(image, dir string) []string {
			return []string{"x", "-o" + dir, image}
		}},
	}
}

// writeImage puts an image into a file.
func writeImage(t testing.TB, im iso9660.Image) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image.iso")
	if err := os.WriteFile(file, build(t, im), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// summarize keeps differences readable.
func summarize(tree contents) map[string]string {
	out := make(map[string]string, len(tree))
	for path, data := range tree {
		out[path] = fmt.Sprintf("%d bytes %x", len(data), sha256.Sum256([]byte(data)))
	}
	return out
}

// readTree reads what a program unpacked, and makes it deletable.
func readTree(t *testing.T, dir string) contents {
	t.Helper()
	tree := contents{}
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || file == dir {
			return err
		}
		name, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		if d.IsDir() {
			tree[name+"/"] = ""
			return os.Chmod(file, 0o700)
		}
		data, err := os.ReadFile(file)
		tree[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// randomTree is a tree that is awkward on purpose: sizes around whole sectors,
// equal contents, long, odd and similar names, up to eight levels.
func randomTree(seed uint64) iso9660.Image {
	random := rand.New(rand.NewPCG(seed, 9660))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	letters := []rune("abcxyzABC019-_+=@,.'()[]{}&#!$%^~ äßéЖд日本")
	name := func() string {
		switch random.IntN(5) {
		case 0:
			return pick("user-data", "meta_data.json", "user_data", "user_data.txt", "user_date", "0000", ".hidden", "x.tar.gz")
		case 1:
			return fmt.Sprintf("a long common beginning %d.conf", random.IntN(50))
		}
		s := make([]rune, 1+random.IntN(55))
		for i := range s {
			s[i] = letters[random.IntN(len(letters))]
		}
		return strings.TrimRight(string(s), ". ") + "n"
	}
	sizes := []int{0, 1, 3, 2047, 2048, 2049, 4095, 4096, 4097, 6144, 70_000}
	im := iso9660.Image{VolumeID: pick("cidata", "config-2", "CIDATA", "Sixteen_bytes_ID")}
	dirs, seen := []string{""}, map[string]bool{}
	for range 1 + random.IntN(120) {
		path := dirs[random.IntN(len(dirs))]
		for random.IntN(3) == 0 {
			path += name() + "/"
		}
		file := path + name()
		depth := strings.Count(file, "/") + 1
		if len(file) > iso9660.MaxPath || depth > iso9660.MaxDepth || seen[file] || seen[file+"/"] || usesFile(seen, path) {
			continue
		}
		for i, c := range file {
			if c == '/' && !seen[file[:i+1]] {
				seen[file[:i+1]] = true
				dirs = append(dirs, file[:i+1])
			}
		}
		seen[file] = true
		data := make([]byte, sizes[random.IntN(len(sizes))])
		for i := range data {
			data[i] = byte(random.IntN(2) * len(im.Files) / 3) // some are equal
			if i > 8 {
				break
			}
		}
		im.Files = append(im.Files, iso9660.File{Path: file, Data: data})
	}
	return im
}

// usesFile tells whether one of the directories of a path is a file already.
func usesFile(seen map[string]bool, path string) bool {
	for i, c := range path {
		if c == '/' && seen[path[:i]] {
			return true
		}
	}
	return false
}

// trees are the images that all programs read.
func trees() map[string]iso9660.Image {
	ims := map[string]iso9660.Image{
		"nocloud":     noCloud([]byte("#cloud-config\n")),
		"configdrive": configDrive(make([]byte, 5000)),
		"no files":    {VolumeID: "cidata"},
		"empty last":  {VolumeID: "cidata", Files: []iso9660.File{{Path: "a", Data: make([]byte, 2048)}, {Path: "z/z"}}},
	}
	wide := iso9660.Image{VolumeID: "cidata"}
	for i := range 600 {
		wide.Files = append(wide.Files,
			iso9660.File{Path: fmt.Sprintf("wide/a file with a rather long name %d.txt", i), Data: fmt.Append(nil, i/2)},
			iso9660.File{Path: fmt.Sprintf("directories/much the same %d/f", i)})
	}
	ims["wide"] = wide
	for seed := range uint64(14) {
		ims[fmt.Sprint("random ", seed)] = randomTree(seed)
	}
	return ims
}

// TestReadBack lets programs of others unpack what the package wrote.
func TestReadBack(t *testing.T) {
	t.Parallel()
	for name, im := range trees() {
		want := summarize(wanted(im.Files))
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkImage(t, im, build(t, im))
			file := writeImage(t, im)
			for _, rb := range readBacks() {
				t.Run(rb.name, func(t *testing.T) {
					tool.Need(t, rb.program, rb.install)
					dir := t.TempDir()
					run(t, rb.program, rb.args(file, dir)...)
					if diff := cmp.Diff(want, summarize(readTree(t, dir))); diff != "" {
						t.Errorf("unpacked (-want +got):\n%s", diff)
					}
				})
			}
			t.Run("isoinfo", func(t *testing.T) {
				tool.Need(t, "isoinfo", "genisoimage")
				checkIsoinfo(t, file, im)
			})
		})
	}
}

// checkIsoinfo compares names, label and, for small trees, contents. Isoinfo
// has no UTF-8 for Joliet names, so those are compared as far as they are ASCII.
func checkIsoinfo(t *testing.T, file string, im iso9660.Image) {
	t.Helper()
	for _, hierarchy := range []string{"-R", "-J"} {
		ascii := func(s string) string { return s }
		if hierarchy == "-J" {
			ascii = func(s string) string {
				return strings.Map(func(r rune) rune {
					if r > '~' {
						return -1
					}
					return r
				}, strings.ToValidUTF8(strings.ReplaceAll(s, "_", ""), ""))
			}
		}
		want := []string{}
		for path := range wanted(im.Files) {
			want = append(want, ascii("/"+strings.TrimSuffix(path, "/")))
		}
		got := strings.Split(ascii(strings.TrimSuffix(run(t, "isoinfo", hierarchy, "-f", "-i", file), "\n")), "\n")
		got = slices.DeleteFunc(got, func(s string) bool { return s == "" }) // no files at all
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("isoinfo %s (-want +got):\n%s", hierarchy, diff)
		}
		if len(im.Files) > 20 {
			continue
		}
		for _, f := range im.Files {
			if ascii(f.Path) != f.Path {
				continue
			}
			if got := run(t, "isoinfo", hierarchy, "-x", "/"+f.Path, "-i", file); got != string(f.Data) {
				t.Errorf("isoinfo %s gives %d bytes of %q, want %d", hierarchy, len(got), f.Path, len(f.Data))
			}
		}
	}
}

// TestLabel asks the programs that guests find the drive with.
func TestLabel(t *testing.T) {
	t.Parallel()
	for _, label := range []string{"cidata", "CIDATA", "config-2", "Sixteen bytes ID"} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			im := noCloud([]byte("x"))
			im.VolumeID = label
			file := writeImage(t, im)
			t.Run("blkid", func(t *testing.T) {
				tool.Need(t, "blkid", "util-linux")
				out := run(t, "blkid", "-p", "-s", "LABEL", "-s", "TYPE", "-o", "value", file)
				if diff := cmp.Diff(label+"\niso9660\n", out); diff != "" {
					t.Errorf("blkid (-want +got):\n%s", diff)
				}
			})
			t.Run("busybox", func(t *testing.T) {
				tool.Need(t, "busybox", "busybox or busybox-static")
				checkBusyBox(t, file, label)
			})
			t.Run("isoinfo", func(t *testing.T) {
				tool.Need(t, "isoinfo", "genisoimage")
				if out := run(t, "isoinfo", "-d", "-i", file); !strings.Contains(out, "\nVolume id: "+label+"\n") {
					t.Errorf("isoinfo says:\n%s", out)
				}
			})
		})
	}
}

// checkBusyBox asks BusyBox's blkid or, since Debian's busybox-static has none,
// its findfs, which has the same prober but wants a block device and thus root.
func checkBusyBox(t *testing.T, file, label string) {
	t.Helper()
	if slices.Contains(strings.Fields(run(t, "busybox", "--list")), "blkid") {
		want := fmt.Sprintf("%s: LABEL=%q TYPE=\"iso9660\"\n", file, label)
		if diff := cmp.Diff(want, run(t, "busybox", "blkid", file)); diff != "" {
			t.Errorf("busybox blkid (-want +got):\n%s", diff)
		}
		return
	}
	if os.Geteuid() != 0 {
		tool.Missing(t, "run as root or install busybox: busybox-static has no blkid, and its findfs needs a loop device")
	}
	tool.Need(t, "losetup", "mount")
	// A label of our own: others may have a drive of that name.
	im := noCloud([]byte("x"))
	im.VolumeID = fmt.Sprintf("t%d-%.4s", os.Getpid(), label)
	device := strings.TrimSpace(run(t, "losetup", "-f", "--show", "-r", writeImage(t, im)))
	defer run(t, "losetup", "-d", device)
	if diff := cmp.Diff(device+"\n", run(t, "busybox", "findfs", "LABEL="+im.VolumeID)); diff != "" {
		t.Errorf("busybox findfs (-want +got):\n%s", diff)
	}
}
