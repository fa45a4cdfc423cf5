// SPDX-License-Identifier: Apache-2.0

package msrv

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// SecretSize is the size of the device's secret in bytes.
const SecretSize = 32

// SecretFile is where the device's secret is, below the root.
const SecretFile = "/persist/mdsrv/secret"

// Secret returns the device's secret, out of which random seeds of instances are derived. It is kept
// under the root in SecretFile, for root alone, and made at the first call. A file of
// another size is an error: a new secret would change what guests see.
func Secret(root string) ([]byte, error) {
	path := filepath.Join(root, SecretFile)
	secret, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return makeSecret(root, path)
	case err != nil:
		return nil, fmt.Errorf("read device secret: %w", err)
	case len(secret) != SecretSize:
		return nil, fmt.Errorf("read device secret %q: %d bytes instead of %d; remove the file to have a new one made",
			path, len(secret), SecretSize)
	}
	return secret, nil
}

// makeSecret makes the file. A link puts it into place in one step, and only where none is yet: of two
// processes that start together, both end up with the same secret.
func makeSecret(root, path string) ([]byte, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make device secret: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".secret-")
	if err != nil {
		return nil, fmt.Errorf("make device secret: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // a name less or more: the secret is there by then
	secret := make([]byte, SecretSize)
	rand.Read(secret)
	_, err = f.Write(secret)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("make device secret: %w", err)
	}
	err = os.Link(f.Name(), path)
	if errors.Is(err, fs.ErrExist) {
		return Secret(root)
	}
	if err != nil {
		return nil, fmt.Errorf("make device secret: %w", err)
	}
	return secret, nil
}
