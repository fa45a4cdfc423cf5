// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"bytes"
	"errors"
	"os"
	"regexp"
	"strings"
	"sync"
)

// stages are what a guest writes to its console when it has got somewhere, and what that is called.
var stages = []struct {
	text  *regexp.Regexp
	stage string
}{
	{regexp.MustCompile(`Linux version `), "kernel"},
	{regexp.MustCompile(`systemd\[1\]: Hostname set to|Welcome to `), "systemd"},
	{regexp.MustCompile(`Cloud-init v\. \S+ running '([^']+)'`), "cloud-init $1"},
	{regexp.MustCompile(`Cloud-init v\. \S+ finished`), "cloud-init finished"},
	{regexp.MustCompile(`Kernel panic`), "kernel panic"},
}

// tailSize is how much of the console is told when something goes wrong, in bytes.
const tailSize = 4096

// console takes what a guest writes to its console: into a file, and line by line.
type console struct {
	mu   sync.Mutex
	file *os.File
	all  bytes.Buffer
	line []byte // that is not yet ended
	now  string // stage
	told func(string)
}

func newConsole(path string, told func(string)) (*console, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if told == nil {
		told = func(string) {}
	}
	return &console{file: file, told: told}, nil
}

// Write takes what the guest has written.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all.Write(p)
	c.line = append(c.line, p...)
	for {
		end := bytes.IndexByte(c.line, '\n')
		if end < 0 {
			break
		}
		c.note(c.line[:end])
		c.line = c.line[end+1:]
	}
	return c.file.Write(p)
}

// note tells of a stage that a line begins.
func (c *console) note(line []byte) {
	for _, s := range stages {
		found := s.text.FindSubmatchIndex(line)
		if found == nil {
			continue
		}
		if now := string(s.text.Expand(nil, []byte(s.stage), line, found)); now != c.now {
			c.now = now
			c.told(now)
		}
	}
}

func (c *console) tail() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.all.Bytes()
	return strings.ToValidUTF8(string(all[max(0, len(all)-tailSize):]), "?")
}

func (c *console) close() error {
	if err := c.file.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}
