// SPDX-License-Identifier: Apache-2.0

package devicekey

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// maxFile bounds what is read of a file. The largest of EVE's has a tenth of it.
const maxFile = 64 << 10

// readFile reads a file with a key or a certificate in it. What is no file is refused: the opening of a pipe would wait for
// its other end, and with it everybody who waits for the key.
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("%s is no file", info.Mode())}
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = &fs.PathError{Op: "read", Path: path, Err: errors.New("too large for a key or a certificate")}
	}
	if err != nil {
		return nil, err
	}
	return text, nil
}
