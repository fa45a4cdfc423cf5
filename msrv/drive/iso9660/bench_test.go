// SPDX-License-Identifier: Apache-2.0

package iso9660_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/lf-edge/eve-metadata/msrv/drive/iso9660"
)

// BenchmarkDrive compares the ways to make an image with the floor, one copy of
// the finished bytes, and with a run of genisoimage on files already staged.
func BenchmarkDrive(b *testing.B) {
	for _, size := range []struct {
		name  string
		bytes int
	}{{"1KiB", 1 << 10}, {"64KiB", 64 << 10}, {"1MiB", 1 << 20}} {
		userData := bytes.Repeat([]byte{'x'}, size.bytes)
		b.Run("nocloud-"+size.name, func(b *testing.B) { benchmark(b, noCloud(userData)) })
		b.Run("configdrive-"+size.name, func(b *testing.B) { benchmark(b, configDrive(userData)) })
	}
}

func benchmark(b *testing.B, im iso9660.Image) {
	finished := build(b, im)
	b.Run("floor", func(b *testing.B) {
		b.SetBytes(int64(len(finished)))
		b.ReportAllocs()
		for b.Loop() {
			_ = bytes.Clone(finished)
		}
	})
	b.Run("build", func(b *testing.B) {
		b.SetBytes(int64(len(finished)))
		b.ReportAllocs()
		for b.Loop() {
			build(b, im)
		}
		b.ReportMetric(float64(len(finished)), "image-bytes")
	})
	b.Run("writeto", func(b *testing.B) {
		b.SetBytes(int64(len(finished)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := im.WriteTo(io.Discard); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("peer=genisoimage", func(b *testing.B) {
		if _, err := exec.LookPath("genisoimage"); err != nil {
			b.Skip("install genisoimage:", err)
		}
		dir, out := stage(b, im), filepath.Join(b.TempDir(), "image.iso")
		b.SetBytes(int64(len(finished)))
		for b.Loop() {
			run(b, "genisoimage", "-quiet", "-J", "-r", "-V", im.VolumeID, "-o", out, dir)
		}
		info, err := os.Stat(out)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size()), "image-bytes")
	})
}

// stage puts the files of an image into a directory.
func stage(b *testing.B, im iso9660.Image) string {
	b.Helper()
	dir := b.TempDir()
	for _, f := range im.Files {
		file := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(file, f.Data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}
