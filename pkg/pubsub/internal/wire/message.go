// SPDX-License-Identifier: Apache-2.0

// Package wire is EVE's pubsub protocol as pure functions: messages to and from
// the bytes of one datagram, and values to and from the form they have on the
// wire, where large fields are replaced by the names of files.
//
// Package socket moves the bytes and the files; package memory uses the checks,
// so that it refuses what the wire would refuse.
package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
)

// Commands: the first word of a datagram (EVE pubsub).
const (
	CommandRequest   = "request"
	CommandHello     = "hello"
	CommandUpdate    = "update"
	CommandDelete    = "delete"
	CommandComplete  = "complete"
	CommandRestarted = "restarted"
)

// ErrMalformed says that a datagram is not one that a publisher sends.
var ErrMalformed = errors.New("malformed message")

// Message is a datagram from a publisher. Key is set for updates and deletes;
// Value is the wire form of a value; Restarted is the restart counter;
// Persistent is what a hello says, "" if it says nothing (older EVE).
type Message struct {
	Command, Topic, Key string
	Value               []byte
	Restarted           int
	Persistent          string
}

// Parse reads a datagram. Words beyond those that it knows are ignored, and any
// topic is taken, as by EVE's subscriber. A command that it does not know is
// returned as it is. The error wraps ErrMalformed; the message then has what was
// readable.
func Parse(datagram []byte) (Message, error) {
	words := strings.Split(string(datagram), " ")
	m := Message{Command: words[0]}
	need := map[string]int{
		CommandHello: 2, CommandUpdate: 4, CommandDelete: 3, CommandComplete: 2, CommandRestarted: 3,
	}[m.Command]
	if len(words) < need {
		return m, fmt.Errorf("parse %q: %d of %d words: %w", m.Command, len(words), need, ErrMalformed)
	}
	if need > 0 {
		m.Topic = words[1]
	}
	if err := m.parseWords(words); err != nil {
		return m, fmt.Errorf("parse %q of %q: %w", m.Command, m.Topic, err)
	}
	return m, nil
}

func (m *Message) parseWords(words []string) (err error) {
	switch m.Command {
	case CommandHello:
		if len(words) > 2 {
			m.Persistent = words[2]
		}
	case CommandDelete:
		m.Key, err = parseKey(words[2])
	case CommandUpdate:
		if m.Key, err = parseKey(words[2]); err == nil {
			m.Value, err = parseValue(words[3])
		}
	case CommandRestarted:
		m.Restarted, err = strconv.Atoi(words[2])
		if err != nil || m.Restarted < 0 {
			m.Restarted, err = 0, fmt.Errorf("counter: %w", ErrMalformed)
		}
	}
	return err
}

func parseKey(word string) (string, error) {
	key, err := base64.StdEncoding.DecodeString(word)
	if err != nil {
		return "", fmt.Errorf("key: %w: %w", err, ErrMalformed)
	}
	if err := CheckKey(string(key)); err != nil {
		return "", fmt.Errorf("%w: %w", err, ErrMalformed)
	}
	return string(key), nil
}

func parseValue(word string) ([]byte, error) {
	value, err := base64.StdEncoding.DecodeString(word)
	if err != nil {
		return nil, fmt.Errorf("value: %w: %w", err, ErrMalformed)
	}
	if !json.Valid(value) {
		return nil, fmt.Errorf("value is no JSON: %w", ErrMalformed)
	}
	return value, nil
}

// CheckKey returns an error that wraps pubsub.ErrBadKey unless the key can be the
// name of a file.
func CheckKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("empty key: %w", pubsub.ErrBadKey)
	case len(key) > pubsub.MaxKey:
		return fmt.Errorf("key of %d bytes: %w", len(key), pubsub.ErrBadKey)
	case strings.ContainsAny(key, "/\x00"):
		return fmt.Errorf("key %q: %w", key, pubsub.ErrBadKey)
	}
	return nil
}

// Request is the one datagram that a subscriber sends.
func Request(topic string) []byte { return []byte(CommandRequest + " " + topic) }

// Hello answers a request.
func Hello(topic string, persistent bool) []byte {
	return []byte(CommandHello + " " + topic + " " + strconv.FormatBool(persistent))
}

// Complete says that all that the table held at first has been sent.
func Complete(topic string) []byte { return []byte(CommandComplete + " " + topic) }

// Restarted carries the restart counter.
func Restarted(topic string, n int) []byte {
	return []byte(CommandRestarted + " " + topic + " " + strconv.Itoa(n))
}

// Delete says that a key is gone.
func Delete(topic, key string) []byte {
	return []byte(CommandDelete + " " + topic + " " + base64.StdEncoding.EncodeToString([]byte(key)))
}

// Update carries the wire form of a value.
func Update(topic, key string, form []byte) []byte {
	b := make([]byte, 0, updateLen(topic, key, len(form)))
	b = append(b, CommandUpdate+" "+topic+" "...)
	b = base64.StdEncoding.AppendEncode(b, []byte(key))
	b = append(b, ' ')
	return base64.StdEncoding.AppendEncode(b, form)
}

func updateLen(topic, key string, form int) int {
	return len(CommandUpdate) + len(topic) + 3 +
		base64.StdEncoding.EncodedLen(len(key)) + base64.StdEncoding.EncodedLen(form)
}

// Equal says whether two values are the same JSON: the order of fields and white
// space do not count, since a value has another order in its file than on the wire.
func Equal(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	ca, errA := canonical(a)
	cb, errB := canonical(b)
	return errA == nil && errB == nil && bytes.Equal(ca, cb)
}

func canonical(value []byte) ([]byte, error) {
	tree, err := parseTree(value)
	if err != nil {
		return nil, err
	}
	return json.Marshal(tree)
}
