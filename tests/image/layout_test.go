// SPDX-License-Identifier: Apache-2.0

package image_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// epoch is when everything in an image is from.
var epoch = time.Unix(0, 0)

// Types of blobs (OCI image-spec, media-types.md).
const (
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// image is an image in a folder (OCI image-spec, image-layout.md).
type image struct {
	t      *testing.T
	dir    string
	config imageConfig
	layers []descriptor
}

// descriptor refers to a blob (OCI image-spec, descriptor.md).
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int    `json:"size"`
}

// imageConfig is what an image says of itself (OCI image-spec, config.md).
type imageConfig struct {
	Created      time.Time `json:"created"`
	Architecture string    `json:"architecture"`
	OS           string    `json:"os"`
	Config       execution `json:"config"`
	RootFS       struct {
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

// execution is what is run in a container of the image.
type execution struct {
	Env, Entrypoint, Cmd []string
	Labels               map[string]string
}

// readImage reads the only image in a folder.
func readImage(t *testing.T, dir string) *image {
	t.Helper()
	i := &image{t: t, dir: dir}
	index, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var images struct {
		Manifests []descriptor `json:"manifests"`
	}
	i.decode(index, &images)
	if len(images.Manifests) != 1 {
		t.Fatalf("there are %d images, want 1", len(images.Manifests))
	}
	var manifest struct {
		Config descriptor   `json:"config"`
		Layers []descriptor `json:"layers"`
	}
	i.decode(i.blob(images.Manifests[0], typeManifest), &manifest)
	i.decode(i.blob(manifest.Config, typeConfig), &i.config)
	i.layers = manifest.Layers
	if len(i.layers) != len(i.config.RootFS.DiffIDs) {
		t.Fatalf("%d layers have %d digests", len(i.layers), len(i.config.RootFS.DiffIDs))
	}
	return i
}

func (i *image) decode(content []byte, into any) {
	i.t.Helper()
	if err := json.Unmarshal(content, into); err != nil {
		i.t.Fatal(err)
	}
}

// blob reads a blob, which has to be what the descriptor says.
func (i *image) blob(d descriptor, mediaType string) []byte {
	i.t.Helper()
	content, err := os.ReadFile(filepath.Join(i.dir, "blobs", strings.Replace(d.Digest, ":", "/", 1)))
	if err != nil {
		i.t.Fatal(err)
	}
	got := descriptor{mediaType, digest(content), len(content)}
	if got != d {
		i.t.Fatalf("blob is %+v, want %+v", got, d)
	}
	return content
}

func digest(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }

// file is a file, folder or link of an image.
type file struct {
	mode string // with where a link leads
	size int64
}

// unpack writes the root filesystem into a folder that it makes, and returns what is in it, by path.
func (i *image) unpack(root string) map[string]file {
	i.t.Helper()
	if err := os.Mkdir(root, 0o755); err != nil {
		i.t.Fatal(err)
	}
	files := make(map[string]file)
	for n, layer := range i.layers {
		archive := i.gunzip(i.blob(layer, typeLayer))
		if got, want := digest(archive), i.config.RootFS.DiffIDs[n]; got != want {
			i.t.Errorf("layer %d is %s, want %s", n, got, want)
		}
		i.unpackLayer(root, archive, files)
	}
	return files
}

func (i *image) gunzip(content []byte) []byte {
	i.t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		i.t.Fatal(err)
	}
	content, err = io.ReadAll(r)
	if err != nil {
		i.t.Fatal(err)
	}
	return content
}

func (i *image) unpackLayer(root string, archive []byte, files map[string]file) {
	i.t.Helper()
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			err = unpackFile(root, h, r)
		}
		if err != nil {
			i.t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || !h.ModTime.Equal(epoch) {
			i.t.Errorf("%s is user %d's and group %d's, of %v, want root's of %v", h.Name, h.Uid, h.Gid, h.ModTime, epoch)
		}
		mode := h.FileInfo().Mode().String()
		files[strings.Trim(h.Name, "/")] = file{strings.TrimSpace(mode + " " + h.Linkname), h.Size}
	}
}

// unpackFile writes one file, folder or link below root.
func unpackFile(root string, h *tar.Header, content io.Reader) error {
	path, mode := filepath.Join(root, h.Name), h.FileInfo().Mode()
	switch h.Typeflag {
	case tar.TypeDir:
		return errors.Join(os.MkdirAll(path, mode), os.Chmod(path, mode))
	case tar.TypeSymlink:
		return os.Symlink(h.Linkname, path)
	case tar.TypeReg:
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, content)
		return errors.Join(err, f.Close())
	}
	return fmt.Errorf("%s is of type %q", h.Name, h.Typeflag)
}
