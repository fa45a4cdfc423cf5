// SPDX-License-Identifier: Apache-2.0

// Command agent plays one of EVE's agents: it publishes tables as EVE's own publisher does, to the byte and with all its
// habits, which a subscriber on a device has to live with (EVE pubsub). It shares no code with the project's pubsub, so
// that the two can be wrong independently of each other.
//
// Arguments are the agent's name and its topics, "+" after those that are persistent. Standard input has
// commands, JSON objects, each of which is answered on standard output by an object that is empty or has an Error; a first
// answer tells that all tables are open. The program ends with its input, as if it had been killed. Like EVE's agents it ends
// by itself when a table is published already or a value is too large.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// command changes one table, and has one of Value, Delete and Restarted.
type command struct {
	Topic, Key string
	Value      json.RawMessage // as the agent's struct is marshalled
	Delete     bool
	Restarted  *int
}

type answer struct {
	Error string `json:",omitempty"`
}

func main() {
	root := flag.String("root", "/", "the device's root folder")
	flag.Parse()
	if flag.NArg() == 0 {
		fatal(errors.New("usage: agent [-root DIR] NAME [TOPIC[+]...]"))
	}
	// The names of sockets are short; that of a test's folder may be too long for them.
	if err := os.Chdir(*root); err != nil {
		fatal(err)
	}
	syscall.Umask(0o022) // an EVE container's
	tables := make(map[string]*table)
	for _, arg := range flag.Args()[1:] {
		topic, persistent := strings.CutSuffix(arg, "+")
		t, err := open(*root, flag.Arg(0), topic, persistent)
		if err != nil {
			fatal(err)
		}
		tables[topic] = t
	}
	if err := obey(tables, os.Stdin, os.Stdout); err != nil {
		fatal(err)
	}
}

// obey carries out commands until there are no more.
func obey(tables map[string]*table, in io.Reader, out io.Writer) error {
	commands, answers := json.NewDecoder(in), json.NewEncoder(out)
	if err := answers.Encode(answer{}); err != nil {
		return err
	}
	for {
		var c command
		if err := commands.Decode(&c); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var a answer
		if err := c.do(tables[c.Topic]); err != nil {
			a.Error = err.Error()
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
}

func (c *command) do(t *table) error {
	switch {
	case t == nil:
		return fmt.Errorf("topic %q is not published here", c.Topic)
	case c.Restarted != nil:
		return t.setRestarted(*c.Restarted)
	case c.Delete:
		return t.remove(c.Key)
	}
	return t.set(c.Key, c.Value)
}

// fatal ends the agent, as a fatal log entry ends EVE's.
func fatal(err error) {
	fmt.Fprintln(os.Stderr, "fatal:", err)
	os.Exit(1)
}
