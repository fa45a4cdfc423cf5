// SPDX-License-Identifier: Apache-2.0

package dnsmasq

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/sirupsen/logrus"

	"github.com/lf-edge/eve-metadata/pkg/share"

	"github.com/lf-edge/eve-metadata/pkg/netns"
)

// Config is what a Keeper works with.
type Config struct {
	// Dir is of all its files, one folder for each network; made when it is missing. Network.User must be able to get there.
	Dir    string
	Binary string // path or name; "": dnsmasq, in PATH or where Debian has it
	Log    logrus.FieldLogger
	// Changed is called when State(network) has become another. Any goroutine calls it; it must not block.
	Changed func(network string)
}

// Namespace is where a network's dnsmasq runs.
type Namespace struct {
	Path string
	ID   uint64 // its inode: what is at Path may become another one
}

var errAnotherNamespace = errors.New("another namespace is there now")

// do runs f in the namespace, if that still is the one that was meant.
func (ns Namespace) do(f func() error) error {
	n, err := netns.Open(ns.Path)
	if err != nil {
		return err
	}
	if n.ID() == ns.ID {
		err = n.Do(f)
	} else {
		err = fmt.Errorf("enter namespace %q: %w", ns.Path, errAnotherNamespace)
	}
	return errors.Join(err, n.Close())
}

// Keeper keeps a dnsmasq running for each of the networks that want one. Its methods may be called side by side, but for
// one network one at a time.
type Keeper struct {
	config Config
	starts chan struct{} // one token for every process that is starting
	closed chan struct{}

	mu    sync.Mutex
	loops map[string]*loop
	found map[string][]*process // of an earlier Keeper, until their network is wanted or forgotten
}

// NewKeeper returns a Keeper. It finds the processes that an earlier one left running; nothing is done to them yet.
func NewKeeper(config Config) (*Keeper, error) {
	if err := share.Passage(config.Dir); err != nil {
		return nil, fmt.Errorf("keep dnsmasq: %w", err)
	}
	found, err := findProcesses(config.Dir)
	if err != nil {
		return nil, fmt.Errorf("keep dnsmasq: %w", err)
	}
	return &Keeper{
		config: config,
		starts: make(chan struct{}, runtime.NumCPU()),
		closed: make(chan struct{}),
		loops:  map[string]*loop{},
		found:  found,
	}, nil
}

// Networks returns the networks that there are files or processes of, sorted: wanted ones, and what an earlier Keeper left.
func (k *Keeper) Networks() ([]string, error) {
	entries, err := os.ReadDir(k.config.Dir)
	if err != nil {
		return nil, fmt.Errorf("list networks with dnsmasq: %w", err)
	}
	var networks []string
	for _, e := range entries {
		networks = append(networks, e.Name())
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for network := range k.loops {
		networks = append(networks, network)
	}
	for network := range k.found {
		networks = append(networks, network)
	}
	slices.Sort(networks)
	return slices.Compact(networks), nil
}

// Want has a network's dnsmasq run in a namespace and know what n says; n belongs to the Keeper from now on. The network's
// name is a file name too. It returns at once: State tells what became of it.
//
// One that an earlier Keeper left is taken over when it is in that namespace and was started with the same configuration.
func (k *Keeper) Want(network string, ns Namespace, n *Network) {
	k.loop(network).set(wish{namespace: ns, network: n})
}

// loop returns the network's loop, which runs.
func (k *Keeper) loop(network string) *loop {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.loops[network]
	if l == nil {
		l = newLoop(k, network, k.found[network])
		delete(k.found, network)
		k.loops[network] = l
		go l.run()
	}
	return l
}

// Forget stops a network's dnsmasq, also one that an earlier Keeper left, and removes its files. It returns when that is
// done.
func (k *Keeper) Forget(network string) error {
	l := k.loop(network)
	close(l.forgotten)
	<-l.done
	k.mu.Lock()
	delete(k.loops, network)
	k.mu.Unlock()
	if err := os.RemoveAll(l.dir); err != nil {
		return fmt.Errorf("remove dnsmasq of network %s: %w", network, err)
	}
	return nil
}

// State returns why a network's dnsmasq does not run or does not know what it should, as was last found; nil when all is well
// and when none is wanted.
func (k *Keeper) State(network string) error {
	k.mu.Lock()
	l := k.loops[network]
	k.mu.Unlock()
	if l == nil {
		return nil
	}
	return l.state()
}

// Close ends the Keeper. The processes stay, for the next one.
func (k *Keeper) Close() {
	close(k.closed)
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range k.loops {
		<-l.done
	}
	for _, processes := range k.found {
		for _, p := range processes {
			p.release()
		}
	}
}

// Where the program is by default.
const (
	defaultBinary = "dnsmasq"
	debianBinary  = "/usr/sbin/dnsmasq" // not in everybody's PATH
)

// errNotInstalled says that there is no dnsmasq.
var errNotInstalled = errors.New("dnsmasq is not installed (Debian's package dnsmasq-base)")

// binary returns the path of the program.
func (k *Keeper) binary() (string, error) {
	names := []string{defaultBinary, debianBinary}
	if k.config.Binary != "" {
		names = []string{k.config.Binary}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("look for %s: %w", names[0], errNotInstalled)
}

// confOf returns the path of a network's configuration. It is the argument by which its process is known.
func confOf(dir string) string { return filepath.Join(dir, confFile) }
