// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// reports is the name of the socket at which the report comes, in the guest's folder.
const reports = "report.sock"

// listen opens that socket, in place of the last boot's.
func listen(dir string) (net.Listener, error) {
	path := filepath.Join(dir, reports)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return net.Listen("unix", path)
}

// closePort closes it, if it is open.
func (m *Machine) closePort() error {
	if m.port == nil {
		return nil
	}
	if err := m.port.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func (m *Machine) receive() (dir string, err error) {
	if m.port == nil {
		return "", errors.New("the guest is not to report")
	}
	conn, err := m.port.Accept()
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }() // all was read
	dir = filepath.Join(m.dir, "report")
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := extract(conn, dir); err != nil {
		return "", fmt.Errorf("read report: %w", err)
	}
	return dir, nil
}

// extract writes the files and links of an archive below a folder; what would lead out of that is refused.
func extract(r io.Reader, dir string) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	for archive := tar.NewReader(bufio.NewReader(r)); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := filepath.Clean(strings.TrimPrefix(h.Name, "/"))
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o755)
		case tar.TypeReg:
			err = write(root, name, archive)
		case tar.TypeSymlink:
			err = link(root, name, h.Linkname)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

func write(root *os.Root, name string, from io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}

// link makes a link as it is in the guest, where / is the guest's.
func link(root *os.Root, name, to string) error {
	if filepath.IsAbs(to) {
		rel, err := filepath.Rel(filepath.Dir("/"+name), to)
		if err != nil {
			return err
		}
		to = rel
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return root.Symlink(to, name)
}
