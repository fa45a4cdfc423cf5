// SPDX-License-Identifier: Apache-2.0

// Package image has what guests boot from, built out of Debian's packages (see build) and kept for the next time.
//
// In comes the name of an image; out go the paths of its files, as QEMU takes them. Tests that boot guests call it.
package image

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Names of the images that there are.
const (
	Debian12 = "debian-12"
	Debian13 = "debian-13"
)

// Image is what a guest boots from. Nothing of it is ever written to.
type Image struct {
	Name           string
	Arch           string // of the guest's machine, as QEMU calls it: x86_64, aarch64
	Kernel, Initrd string // paths
	Append         string // arguments for the kernel
	Disk           string // path of a qcow2 image, on which the root filesystem is; "" for none
}

//go:embed all:*
var recipe embed.FS

// Get returns the image of a name out of a folder of images, in which it is built if there is none that was made by the same
// recipe. Building takes about a minute, for which others who want it, in any process, wait. What is built, and why not, is
// told to progress. An image that could not be built leaves nothing; those of older recipes stay, as somebody may use them.
func Get(ctx context.Context, folder, name string, progress io.Writer) (*Image, error) {
	sum, err := digest(name)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(folder, name+"-"+sum)
	unlock, err := lock(filepath.Join(folder, name+".lock"))
	if err != nil {
		return nil, fmt.Errorf("build image %s: %w", name, err)
	}
	defer unlock()
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := build(ctx, name, dir, progress); err != nil {
			return nil, fmt.Errorf("build image %s: %w", name, err)
		}
	}
	return open(name, dir)
}

// Prepare builds those of the images that are not in a folder yet, for who cannot do so later, as in a sandbox. It builds as
// many at once as there are cores.
func Prepare(ctx context.Context, folder string, progress io.Writer, names ...string) error {
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(runtime.NumCPU())
	for _, name := range names {
		all.Go(func() error {
			_, err := Get(ctx, folder, name, progress)
			return err
		})
	}
	return all.Wait()
}

func open(name, dir string) (*Image, error) {
	arguments, err := os.ReadFile(filepath.Join(dir, "append"))
	if err != nil {
		return nil, fmt.Errorf("open image %s: %w", name, err)
	}
	i := &Image{
		Name: name, Arch: "x86_64", Append: strings.TrimSpace(string(arguments)),
		Kernel: filepath.Join(dir, "kernel"), Initrd: filepath.Join(dir, "initrd"),
	}
	if strings.HasSuffix(name, "-arm64") {
		i.Arch = "aarch64"
	}
	if disk := filepath.Join(dir, "disk.qcow2"); exists(disk) {
		i.Disk = disk
	}
	return i, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// digest is of what of the recipe an image is built by: what is built by another one is another image.
func digest(name string) (string, error) {
	family, _, _ := strings.Cut(name, "-")
	sum := sha256.New()
	err := fs.WalkDir(recipe, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasSuffix(path, ".go") || path != "build" && !strings.Contains(path, family) {
			return err
		}
		text, err := fs.ReadFile(recipe, path)
		fmt.Fprintf(sum, "%s %d\n%s", path, len(text), text)
		return err
	})
	return hex.EncodeToString(sum.Sum(nil)[:6]), err
}

// build runs the recipe, out of a copy: who builds may be in another folder than it was compiled in.
func build(ctx context.Context, name, dir string, progress io.Writer) (err error) {
	from, err := os.MkdirTemp("", "recipe-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(from)) }()
	if err := os.CopyFS(from, recipe); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "bash", filepath.Join(from, "build"), name, dir)
	cmd.Stdout, cmd.Stderr = progress, progress
	if _, err := fmt.Fprintf(progress, "building image %s\n", name); err != nil {
		return err
	}
	return cmd.Run()
}

// lock waits until nobody else has the lock, in this process or another one, and returns the end of it.
func lock(path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil // which ends it
}
