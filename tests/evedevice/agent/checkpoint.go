// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	valueSuffix   = ".json"
	backupSuffix  = ".json.bak"
	restartedFile = "restarted"
)

// checkpoint is the folder of a table's files, out of which the agent starts again.
type checkpoint struct {
	dir        string
	persistent bool
}

// load reads the folder. Empty files are passed over; in a persistent table a backup then takes their place.
func (c *checkpoint) load() (values map[string][]byte, restarted int, err error) {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, 0, err
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, 0, err
	}
	values, backups := make(map[string][]byte), make(map[string][]byte)
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(c.dir, e.Name()))
		if err != nil {
			return nil, 0, err
		}
		key, _, _ := strings.Cut(e.Name(), valueSuffix)
		switch {
		case e.Name() == restartedFile:
			restarted = counter(content)
		case len(content) == 0:
		case strings.HasSuffix(e.Name(), valueSuffix):
			values[key] = content
		case strings.HasSuffix(e.Name(), backupSuffix) && c.persistent:
			backups[key] = content
		}
	}
	return values, restarted, c.promote(values, backups)
}

// promote makes values of backups that are all that is left.
func (c *checkpoint) promote(values, backups map[string][]byte) error {
	for key, backup := range backups {
		if values[key] != nil {
			continue
		}
		values[key] = backup
		if err := c.replace(key+valueSuffix, backup); err != nil {
			return err
		}
	}
	return nil
}

// counter reads a restart counter. A file without one, as EVE once wrote it, counts as one.
func counter(content []byte) int {
	n, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return 1
	}
	return n
}

func (c *checkpoint) write(key string, value []byte) error {
	if old, err := os.ReadFile(filepath.Join(c.dir, key+valueSuffix)); err == nil && c.persistent {
		if err := c.replace(key+backupSuffix, old); err != nil {
			return err
		}
	}
	return c.replace(key+valueSuffix, value)
}

func (c *checkpoint) remove(key string) error {
	var err error
	if c.persistent {
		err = removeIfThere(filepath.Join(c.dir, key+backupSuffix))
	}
	return errors.Join(err, removeIfThere(filepath.Join(c.dir, key+valueSuffix)), c.sync())
}

func (c *checkpoint) setRestarted(n int) error {
	if n == 0 {
		return removeIfThere(filepath.Join(c.dir, restartedFile))
	}
	return c.replace(restartedFile, []byte(strconv.Itoa(n)))
}

// replace writes a file such that there is always all of one: the old or the new.
func (c *checkpoint) replace(name string, content []byte) error {
	f, err := os.CreateTemp(c.dir, "tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(c.dir, name)); err != nil {
		return err
	}
	return c.sync()
}

func (c *checkpoint) sync() error {
	dir, err := os.Open(c.dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
