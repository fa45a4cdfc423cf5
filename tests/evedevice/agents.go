// SPDX-License-Identifier: Apache-2.0

package evedevice

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// topics are what EVE's agents publish of what concerns guests' metadata, "+" after persistent ones (EVE pubsub).
var topics = map[string][]string{
	"zedagent": {
		"AppInstanceConfig", "AppNetworkConfig", "NetworkInstanceConfig", "EdgeNodeInfo", "ControllerCert", "CipherContext",
		"ConfigItemValueMap", "PatchEnvelopeInfoList+",
	},
	"zedmanager": {"AppInstanceConfig", "AppInstanceStatus", "AppNetworkConfig", "DomainConfig"},
	"zedrouter":  {"AppNetworkStatus", "NetworkInstanceStatus", "NetworkMetrics"},
	"domainmgr":  {"DomainStatus"},
	"tpmmgr":     {"EdgeNodeCert+"},
	"nim":        {"DeviceNetworkStatus"},
	"wwan":       {"WwanStatus", "WwanMetrics", "WwanLocationInfo"},
	"volumemgr":  {"VolumeStatus", "ContentTreeStatus"},
}

// Agents are the names of the agents.
func Agents() []string { return slices.Sorted(maps.Keys(topics)) }

// Agent is a running agent of EVE's.
type Agent struct {
	t      testing.TB
	name   string
	cmd    *exec.Cmd
	orders *json.Encoder
	said   *json.Decoder
	stderr bytes.Buffer
	in     io.Closer
}

// order is what the program of agents takes.
type order struct {
	Topic     string
	Key       string          `json:",omitempty"`
	Value     json.RawMessage `json:",omitempty"`
	Delete    bool            `json:",omitempty"`
	Restarted *int            `json:",omitempty"`
}

// Start starts an agent, which publishes what its files have. It ends with the test, as if it had been killed.
func (d *Device) Start(name string) *Agent {
	d.t.Helper()
	a, err := d.TryStart(name)
	if err != nil {
		d.t.Fatal(err)
	}
	return a
}

// TryStart is Start for an agent that may find its tables published already.
func (d *Device) TryStart(name string) (*Agent, error) {
	a := &Agent{t: d.t, name: name}
	// The program ends with its input, that is, not later than the test does.
	a.cmd = exec.Command(d.program, slices.Concat([]string{"-root", d.Root, name}, topics[name])...)
	a.cmd.Stderr = &a.stderr
	in, err := a.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := a.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	d.t.Cleanup(a.Kill)
	a.in, a.orders, a.said = in, json.NewEncoder(in), json.NewDecoder(out)
	if err := a.answer(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return a, nil
}

// Kill kills the agent with SIGKILL, and waits until it is gone. What it leaves is what its successor starts from.
func (a *Agent) Kill() {
	_ = a.cmd.Process.Kill() // it may have ended already
	_ = a.cmd.Wait()         // it was killed
	_ = a.in.Close()
}

// AwaitEnd returns when the agent has ended by itself, as it does with a fatal log entry that has a text.
func (a *Agent) AwaitEnd(text string) {
	a.t.Helper()
	late := time.AfterFunc(time.Minute, func() { _ = a.cmd.Process.Kill() })
	defer late.Stop()
	if err := a.answer(); !strings.Contains(err.Error(), text) {
		a.t.Errorf("%s: %v, want %q", a.name, err, text)
	}
}

// Set publishes a value in the topic of its type.
func Set[T any](a *Agent, key string, value T) {
	a.t.Helper()
	content, err := json.Marshal(value)
	a.must(err)
	a.must(a.obey(order{Topic: topicOf[T](), Key: key, Value: content}))
}

// Delete withdraws a value from a topic.
func Delete[T any](a *Agent, key string) {
	a.t.Helper()
	a.must(a.obey(order{Topic: topicOf[T](), Key: key, Delete: true}))
}

// Restarted sets the restart counter of a topic, which says that the agent has published all that it knows of for the n-th
// time.
func Restarted[T any](a *Agent, n int) {
	a.t.Helper()
	a.must(a.obey(order{Topic: topicOf[T](), Restarted: &n}))
}

func topicOf[T any]() string { return reflect.TypeFor[T]().Name() }

func (a *Agent) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// obey has the agent do something, and returns when it is done.
func (a *Agent) obey(o order) error {
	if err := a.orders.Encode(o); err != nil {
		return fmt.Errorf("tell %s: %w", a.name, err)
	}
	if err := a.answer(); err != nil {
		return fmt.Errorf("%s sets %s: %w", a.name, o.Topic, err)
	}
	return nil
}

// answer reads an answer, or why there is none.
func (a *Agent) answer() error {
	var said struct{ Error string }
	if err := a.said.Decode(&said); err != nil {
		_ = a.cmd.Wait() // it has ended, which is what the error says
		return fmt.Errorf("it ended: %w\n%s", err, &a.stderr)
	}
	if said.Error != "" {
		return errors.New(said.Error)
	}
	return nil
}
