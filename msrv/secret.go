// SPDX-License-Identifier: Apache-2.0

package msrv

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lf-edge/eve-metadata/pkg/atomicfile"
	"github.com/lf-edge/eve-metadata/pkg/share"
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

// makeSecret makes the file, unless another process has made it at the same time: both then have the
// same secret. It is durable before anything is derived from it.
func makeSecret(root, path string) ([]byte, error) {
	if err := share.Folder(filepath.Dir(path), 0); err != nil {
		return nil, fmt.Errorf("make device secret: %w", err)
	}
	secret := make([]byte, SecretSize)
	rand.Read(secret)
	err := atomicfile.Create(path, ".secret-", secret)
	if errors.Is(err, fs.ErrExist) {
		return Secret(root)
	}
	if err == nil {
		err = atomicfile.SyncFolder(filepath.Dir(path))
	}
	if err != nil {
		return nil, fmt.Errorf("make device secret %q: %w", path, err)
	}
	return secret, nil
}
