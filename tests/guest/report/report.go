// SPDX-License-Identifier: Apache-2.0

// Package report reads what a guest has reported of itself after a boot (tests/guest/image/guest-report), into a value that
// a test compares with what the guest was to become.
//
// In comes the folder in which machine has extracted the report; out goes a State. Tests that boot guests call it.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// State is what a guest has become, as cloud-init, the kernel and the system's files have it.
type State struct {
	Datasource string   // as cloud-init words it: "DataSourceNoCloud [seed=/dev/sr0][dsmode=net]"
	Status     string   // of cloud-init: "done", "disabled", …; of newer ones extended, as "degraded done"
	Complaints []string // errors and warnings of cloud-init's, without the time; nil for none
	InstanceID string
	Hostname   string
	FQDN       string
	Keys       map[string][]string // that let somebody log in, by user
	Cards      map[string]Card     // by MAC address
	Routes     []string            // through a router: "default via 10.11.12.1"
	DNS        []string            // servers, in order
	Search     []string            // domains
	Files      map[string]string   // below /etc/guest, by name
}

// Card is a network card.
type Card struct {
	MTU       int
	Addresses []string // that are valid beyond the link, with the length of the prefix, of IPv4 first
}

// Read reads the report in a folder. What is not in it stays empty; the error is of what cannot be read.
func Read(dir string) (*State, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	defer func() { _ = root.Close() }() // it was read only
	r := &reader{files: root.FS()}
	s := &State{
		Datasource: r.datasource(),
		InstanceID: r.line("var/lib/cloud/data/instance-id"),
		Hostname:   r.line("report/hostname"), FQDN: r.line("report/fqdn"),
		Keys: r.keys(), Cards: r.cards(), Routes: append(r.routes("report/route"), r.routes("report/route6")...),
		Files: r.below("etc/guest"),
	}
	s.Status, s.Complaints = r.status()
	s.DNS, s.Search = r.resolver()
	if r.err != nil {
		return nil, fmt.Errorf("read report: %w", r.err)
	}
	return s, nil
}

// UserData is the user data that cloud-init has kept, byte for byte.
func UserData(dir string) ([]byte, error) {
	return os.ReadFile(path.Join(dir, "var/lib/cloud/instance/user-data.txt"))
}

// HostKey is the key by which the guest's SSH server is known; cloud-init makes it anew for each new instance.
func HostKey(dir string) (string, error) {
	key, err := os.ReadFile(path.Join(dir, "etc/ssh/ssh_host_ed25519_key.pub"))
	return string(key), err
}

// search begins and ends a datasource's turn in cloud-init's log: "2026-01-02 03:04:05,678 - handlers.py[DEBUG]: start:
// init-local/search-NoCloud: …".
var search = regexp.MustCompile(`(?m)^(\S+ \S+) - handlers\.py\[DEBUG\]: (start|finish): (init-(?:local|network)/search-\w+)`)

// logTime is how cloud-init's log has the time.
const logTime = "2006-01-02 15:04:05,000"

// Search is how long cloud-init searched for its datasource in all stages, by the guest's own log.
func Search(dir string) (time.Duration, error) {
	log, err := os.ReadFile(path.Join(dir, "var/log/cloud-init.log"))
	if err != nil {
		return 0, fmt.Errorf("read report: %w", err)
	}
	var all time.Duration
	begun := make(map[string]time.Time)
	for _, m := range search.FindAllStringSubmatch(string(log), -1) {
		at, err := time.Parse(logTime, m[1])
		if err != nil {
			return 0, fmt.Errorf("read report: %w", err)
		}
		if m[2] == "start" {
			begun[m[3]] = at
		} else if b, ok := begun[m[3]]; ok {
			all += at.Sub(b)
		}
	}
	if len(begun) == 0 {
		return 0, errors.New("read report: cloud-init has searched for no datasource")
	}
	return all, nil
}

// reader reads files of a report; the first error stays.
type reader struct {
	files fs.FS
	err   error
}

// text is a file's content, "" if there is none.
func (r *reader) text(name string) string {
	data, err := fs.ReadFile(r.files, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.err = errors.Join(r.err, err)
	}
	return string(data)
}

func (r *reader) line(name string) string { return strings.TrimSpace(r.text(name)) }

// decode reads a file of JSON, if there is one.
func (r *reader) decode(name string, into any) {
	text := r.text(name)
	if strings.TrimSpace(text) == "" {
		return
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		r.err = errors.Join(r.err, fmt.Errorf("%s: %w", name, err))
	}
}

func (r *reader) datasource() string {
	var result struct {
		V1 struct{ Datasource string } `json:"v1"`
	}
	r.decode("run/cloud-init/result.json", &result)
	return result.V1.Datasource
}

// complaint is a line of cloud-init's log that somebody should look at.
var complaint = regexp.MustCompile(`(?m)^\S+ \S+ - (\S+\[(?:WARNING|ERROR|CRITICAL)\]: .*)$`)

// status is what cloud-init says of itself, and what it complains of.
func (r *reader) status() (status string, complaints []string) {
	for line := range strings.Lines(r.text("report/status")) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && (key == "status" || key == "extended_status") {
			status = value // the second says more
		}
	}
	var result struct {
		V1 struct{ Errors []string } `json:"v1"`
	}
	r.decode("run/cloud-init/result.json", &result)
	complaints = result.V1.Errors
	for _, m := range complaint.FindAllStringSubmatch(r.text("var/log/cloud-init.log"), -1) {
		complaints = append(complaints, m[1])
	}
	return status, complaints
}

func (r *reader) keys() map[string][]string {
	keys := make(map[string][]string)
	found, err := fs.Glob(r.files, "report/keys-*")
	r.err = errors.Join(r.err, err)
	for _, name := range found {
		for line := range strings.Lines(r.text(name)) {
			if line = strings.TrimSpace(line); line != "" {
				user := strings.TrimPrefix(path.Base(name), "keys-")
				keys[user] = append(keys[user], line)
			}
		}
	}
	return keys
}

// cards are those that have a MAC address of their own.
func (r *reader) cards() map[string]Card {
	var links []struct {
		Address  string
		LinkType string `json:"link_type"`
		MTU      int
		AddrInfo []struct {
			Local, Scope string
			PrefixLen    int
		} `json:"addr_info"`
	}
	r.decode("report/addr", &links)
	cards := make(map[string]Card)
	for _, l := range links {
		if l.LinkType != "ether" {
			continue
		}
		c := Card{MTU: l.MTU}
		for _, a := range l.AddrInfo {
			if a.Scope == "global" {
				c.Addresses = append(c.Addresses, fmt.Sprintf("%s/%d", a.Local, a.PrefixLen))
			}
		}
		slices.SortFunc(c.Addresses, func(a, b string) int { return r.address(a).Compare(r.address(b)) })
		cards[l.Address] = c
	}
	return cards
}

// address is the address of a prefix.
func (r *reader) address(prefix string) netip.Addr {
	p, err := netip.ParsePrefix(prefix)
	r.err = errors.Join(r.err, err)
	return p.Addr()
}

func (r *reader) routes(name string) (routes []string) {
	var all []struct{ Dst, Gateway string }
	r.decode(name, &all)
	for _, to := range all {
		if to.Gateway != "" {
			routes = append(routes, to.Dst+" via "+to.Gateway)
		}
	}
	slices.Sort(routes)
	return slices.Compact(routes)
}

// resolver is what systemd-resolved asks: of all links, as it writes it for programs that ask themselves.
func (r *reader) resolver() (servers, domains []string) {
	for line := range strings.Lines(r.text("run/systemd/resolve/resolv.conf")) {
		switch fields := strings.Fields(line); {
		case len(fields) > 1 && fields[0] == "nameserver":
			servers = append(servers, fields[1])
		case len(fields) > 1 && fields[0] == "search" && fields[1] != ".":
			domains = fields[1:]
		}
	}
	return servers, domains
}

// below are the files in a folder.
func (r *reader) below(dir string) map[string]string {
	files := make(map[string]string)
	err := fs.WalkDir(r.files, dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		files[strings.TrimPrefix(name, dir+"/")] = r.text(name)
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.err = errors.Join(r.err, err)
	}
	return files
}
