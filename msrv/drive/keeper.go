// SPDX-License-Identifier: Apache-2.0

package drive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lf-edge/eve-metadata/pkg/atomicfile"
)

// What the images' names end in: in a folder of the service's own, and in the one where EVE has a machine's drive (EVE,
// domainmgr).
const (
	Extension    = ".iso"
	ExtensionEVE = ".cidata"
)

// retryAfter is how long a failed write waits for its next try.
const retryAfter = 5 * time.Second

// Keeper keeps the folder of images as it is wanted. A write that fails (a full disk) is tried again
// until it works or is no longer wanted. Make one with NewKeeper.
type Keeper struct {
	dir       string
	extension string
	log       logrus.FieldLogger

	mu      sync.Mutex
	known   map[string]bool   // names that Put has wanted
	failed  map[string][]byte // images not written yet
	failure chan struct{}     // holds a token while failed is not empty
}

// NewKeeper makes a Keeper of the images in a folder that have an extension. The folder is made when the first image is.
func NewKeeper(dir, extension string, log logrus.FieldLogger) *Keeper {
	return &Keeper{
		dir: dir, extension: extension, log: log,
		known: make(map[string]bool), failed: make(map[string][]byte), failure: make(chan struct{}, 1),
	}
}

// Path is where the image of an instance is in a folder of the service's own, by the instance's UUID.
func Path(dir, uuid string) string { return filepath.Join(dir, uuid+Extension) }

func (k *Keeper) path(uuid string) string { return filepath.Join(k.dir, uuid+k.extension) }

// Put wants an image for an instance. It returns an error, and tries again later, when the image
// cannot be written now; until then the one before stays, because a guest that boots without its
// drive takes itself for a new one.
func (k *Keeper) Put(uuid string, image []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known[uuid] = true
	delete(k.failed, uuid)
	err := k.write(uuid, image)
	if err != nil {
		k.failed[uuid] = image
		k.poke()
	}
	return err
}

// Remove takes an instance's image away. That there is none is no error.
func (k *Keeper) Remove(uuid string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.known, uuid)
	delete(k.failed, uuid)
	return remove(k.path(uuid))
}

// Prune takes away all images that were not wanted since the start, and what an interrupted write left
// behind. Other files are left alone.
func (k *Keeper) Prune() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	entries, err := os.ReadDir(k.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read drives: %w", err)
	}
	for _, e := range entries {
		uuid, ours := strings.CutSuffix(e.Name(), k.extension)
		if (ours && !k.known[uuid]) || strings.HasPrefix(e.Name(), temporary) {
			err = errors.Join(err, remove(filepath.Join(k.dir, e.Name())))
		}
	}
	return err
}

// Run tries failed writes again until ctx ends, and returns nil then.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.failure:
		}
		timer := time.NewTimer(retryAfter)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
			k.retry()
		}
	}
}

// retry tries every failed write once. What failed was logged when it was put.
func (k *Keeper) retry() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for uuid, image := range k.failed {
		if k.write(uuid, image) == nil {
			delete(k.failed, uuid)
			k.log.WithField("instance", uuid).Info("drive written at last")
		}
	}
	if len(k.failed) > 0 {
		k.poke()
	}
}

func (k *Keeper) poke() {
	select {
	case k.failure <- struct{}{}:
	default:
	}
}

// write makes the file of an image what the image is, unless it is that already.
func (k *Keeper) write(uuid string, image []byte) error {
	path := k.path(uuid)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, image) {
		return nil
	}
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return fmt.Errorf("make folder of drives: %w", err)
	}
	return WriteFile(path, image)
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove drive: %w", err)
	}
	return nil
}

// temporary begins the names of files that are being written.
const temporary = ".writing-"

// WriteFile puts an image under a path, atomically and durably, readable for its owner alone: whoever
// opens the path gets the old file or all of the new one.
func WriteFile(path string, image []byte) error {
	err := atomicfile.Replace(path, temporary, image)
	if err == nil {
		err = atomicfile.SyncFolder(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("write drive %q: %w", path, err)
	}
	return nil
}
