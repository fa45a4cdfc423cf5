// SPDX-License-Identifier: Apache-2.0

package socket

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/lf-edge/eve-metadata/pkg/atomicfile"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/share"
)

// Names of checkpoint files (EVE pubsub): "<key>.json" is a value, with its large
// fields; "<key>.json.bak" is the value before, of persistent tables only.
const (
	valueSuffix   = ".json"
	backupSuffix  = ".json.bak"
	restartedFile = "restarted"
	// temporary begins the names of files that are being written; digits follow.
	temporary = "tmp"
)

// checkpoint is the folder in which a publisher keeps its table. While it is open
// the folder is locked against other publishers.
type checkpoint struct {
	dir        string
	persistent bool
	group      int // that may read the files; 0: none
	lock       *os.File
}

// openCheckpoint makes and locks a table's folder. Files of persistent tables
// are read by subscribers, so a group that may follow gets them. The error wraps
// pubsub.ErrInUse if another publisher holds the lock.
func openCheckpoint(dir string, persistent bool, group int) (*checkpoint, error) {
	if !persistent {
		group = 0
	}
	if err := share.Folder(dir, group); err != nil {
		return nil, fmt.Errorf("make checkpoint folder: %w", err)
	}
	lock, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint folder: %w", err)
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = pubsub.ErrInUse
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock checkpoint folder %q: %w", dir, err), lock.Close())
	}
	return &checkpoint{dir: dir, persistent: persistent, group: group, lock: lock}, nil
}

func (c *checkpoint) close() error { return c.lock.Close() }

// stored is what one key left in the folder. Either part may be missing or unusable.
type stored struct{ value, backup []byte }

// load reads the folder. Files that are empty are as good as missing: they come
// from a crash, and so do unfinished files, which are removed. Values that cannot
// be read are reported and passed over.
func (c *checkpoint) load(report func(error)) (map[string]stored, error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint folder: %w", err)
	}
	all := map[string]stored{}
	for _, e := range entries {
		key, isValue := strings.CutSuffix(e.Name(), valueSuffix)
		if !isValue {
			var isBackup bool
			if key, isBackup = strings.CutSuffix(e.Name(), backupSuffix); !isBackup || !c.persistent {
				c.discard(e.Name())
				continue
			}
		}
		content, err := readFile(filepath.Join(c.dir, e.Name()), maxCheckpoint)
		if err != nil {
			report(err)
			continue
		}
		s := all[key]
		if isValue {
			s.value = content
		} else {
			s.backup = content
		}
		all[key] = s
	}
	return all, nil
}

// discard removes an unfinished file of replaceFile's. What it leaves is only an
// untidiness.
func (c *checkpoint) discard(name string) {
	digits, unfinished := strings.CutPrefix(name, temporary)
	if _, err := strconv.ParseUint(digits, 10, 64); unfinished && err == nil {
		_ = os.Remove(filepath.Join(c.dir, name))
	}
}

// write stores a value under a key. On error the stored value is the one before.
func (c *checkpoint) write(key string, value []byte) error {
	name := filepath.Join(c.dir, key+valueSuffix)
	if c.persistent {
		// Best effort, as EVE's: a value without a backup is still a value.
		if old, err := readFile(name, maxCheckpoint); err == nil && len(old) > 0 {
			_ = replaceFile(filepath.Join(c.dir, key+backupSuffix), old, 0)
		}
	}
	return c.replace(name, value)
}

// promote makes the backup of a key its value.
func (c *checkpoint) promote(key string, value []byte) error {
	return c.replace(filepath.Join(c.dir, key+valueSuffix), value)
}

func (c *checkpoint) replace(name string, content []byte) error {
	if err := replaceFile(name, content, c.group); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	// The new file is in place and no error could take it back. What remains
	// unsure, should this fail, is whether it survives a loss of power.
	_ = c.lock.Sync()
	return nil
}

// remove removes a key's files, the backup first: a backup alone would come back.
func (c *checkpoint) remove(key string) error {
	suffixes := []string{valueSuffix}
	if c.persistent {
		suffixes = []string{backupSuffix, valueSuffix}
	}
	removed := false
	for _, s := range suffixes {
		err := os.Remove(filepath.Join(c.dir, key+s))
		removed = removed || err == nil
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENAMETOOLONG) {
			return fmt.Errorf("remove checkpoint: %w", err)
		}
	}
	if removed {
		_ = c.lock.Sync() // see replace
	}
	return nil
}

// setRestarted stores the restart counter; 0 removes it.
func (c *checkpoint) setRestarted(n int) error {
	name := filepath.Join(c.dir, restartedFile)
	if n != 0 {
		return c.replace(name, strconv.AppendInt(nil, int64(n), 10))
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clear restart counter: %w", err)
	}
	return nil
}

// readRestarted reads a folder's restart counter: 0 without a file, 1 for a file
// that holds no number (EVE pubsub: older files are empty).
func readRestarted(dir string) int {
	content, err := readFile(filepath.Join(dir, restartedFile), maxRequest)
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil || n < 0 {
		return 1
	}
	return n
}

// replaceFile puts content in the place of a file, whole or not at all, for a
// group to read unless it is 0.
func replaceFile(name string, content []byte, group int) error {
	if err := atomicfile.Replace(name, temporary, content, atomicfile.Group(group)); err != nil {
		return fmt.Errorf("replace %q: %w", name, err)
	}
	return nil
}

// readFile reads a regular file of at most limit bytes.
func readFile(name string, limit int64) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read %q: no regular file", name) // a pipe would block
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readLimited(f, limit)
}

func readLimited(f *os.File, limit int64) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("read %q: over %d bytes: %w", f.Name(), limit, pubsub.ErrTooLarge)
	}
	return content, nil
}
