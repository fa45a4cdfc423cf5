// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/lf-edge/eve-metadata/nim"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
	"github.com/lf-edge/eve-metadata/pkg/topics"
	"github.com/lf-edge/eve-metadata/tests/netns/guestns"
)

// guest is one guest on one of its networks.
type guest struct {
	*guestns.Guest
	name    string // of the instance
	network string // by name
	address string
	router  string
	lease   lease
}

// attachAll plays every guest that the service's topics tell of, once for each of its adapters.
func attachAll(ctx context.Context, root string) ([]guest, error) {
	driver := &socket.Driver{Root: root}
	networks, err := first(ctx, driver, topics.Own().NetworkStatus)
	if err != nil {
		return nil, err
	}
	apps, err := first(ctx, driver, topics.Own().AppStatus)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(root, "guests"), 0o700); err != nil {
		return nil, err
	}
	var guests []guest
	for _, app := range apps {
		for _, a := range app.AppNetAdapterList {
			network := a.Network.String()
			path := filepath.Join(root, "guests", app.DisplayName+"-"+a.Name)
			g, err := guestns.New(path, a, nim.NamespacePath(root, network))
			if err != nil {
				return guests, err
			}
			i := slices.IndexFunc(networks, func(n eve.NetworkInstanceStatus) bool { return n.UUID == a.Network })
			guests = append(guests, guest{
				Guest: g, name: app.DisplayName, network: networks[i].NetworkInstanceConfig.DisplayName,
				address: a.AssignedAddresses.IPv4Addrs[0].Address.String(), router: a.BridgeIPAddr.String(),
			})
		}
	}
	slices.SortFunc(guests, func(a, b guest) int { return strings.Compare(a.Path(), b.Path()) })
	return guests, nil
}

// first returns all values that a topic holds now.
func first[T any](ctx context.Context, driver pubsub.Driver, topic pubsub.Topic[T]) ([]T, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var values []T
	err := pubsub.Subscribe(ctx, driver, topic, func(e pubsub.Event[T]) {
		switch e.Kind {
		case pubsub.Create:
			values = append(values, e.Value)
		case pubsub.Synced:
			cancel()
		}
	})
	return values, err
}

func closeAll(guests []guest) error {
	var errs []error
	for _, g := range guests {
		errs = append(errs, g.Close())
	}
	return errors.Join(errs...)
}

// metadata is where guests ask, but for CloudStack's, which ask their router.
const metadata = "169.254.169.254"

// question is a row of the table: what a guest asks, and how the answer is shown.
type question struct {
	what, path string
	show       func(string) string
	how        manner
}

// manner is how a question is asked.
type manner int

// The manners.
const (
	plainly   manner = iota
	withToken        // of IMDSv2, fetched before
	atRouter         // in place of the metadata address
)

// questions are what the guests are made to ask.
func questions() []question {
	return []question{
		{what: "OpenStack uuid", path: "/openstack/latest/meta_data.json", show: field("uuid")},
		{what: "  hostname", path: "/openstack/latest/meta_data.json", show: field("hostname")},
		{what: "  availability_zone", path: "/openstack/latest/meta_data.json", show: field("availability_zone")},
		{what: "  network_data types", path: "/openstack/latest/network_data.json", show: networkTypes},
		{what: "  user_data, last line", path: "/openstack/latest/user_data", show: lastLine},
		{what: "EC2 instance-id", path: "/latest/meta-data/instance-id", show: asIs},
		{what: "  local-ipv4", path: "/latest/meta-data/local-ipv4", show: asIs},
		{what: "  instance-type", path: "/2009-04-04/meta-data/instance-type", show: asIs},
		{what: "  public-keys", path: "/latest/meta-data/public-keys/", show: asIs},
		{what: "  region, with a token", path: "/latest/meta-data/placement/region", show: asIs, how: withToken},
		{what: "NoCloud instance-id", path: "/nocloud/meta-data", show: field("instance-id")},
		{what: "  user-data, last line", path: "/nocloud/user-data", show: lastLine},
		{what: "CloudStack instance-id", path: "/latest/meta-data/instance-id", show: shortened, how: atRouter},
		{what: "  public-keys", path: "/latest/meta-data/public-keys", show: shortened, how: atRouter},
		{what: "EVE hostname", path: "/eve/v1/hostname", show: shortened},
		{what: "what nobody has", path: "/no/such/path", show: asIs},
	}
}

// leaseRows are what the table has of what guests are told by DHCP: the row's name and udhcpc's.
func leaseRows() [][2]string {
	return [][2]string{
		{"DHCP address", "ip"}, {"  for, in seconds", "lease"}, {"  router", "router"}, {"  DNS server", "dns"}, {"  domain", "domain"},
	}
}

// printLeases asks DHCP and DNS as all guests and prints the answers side by side.
func printLeases(ctx context.Context, w io.Writer, guests []guest, dir string) error {
	for i := range guests {
		told, err := guests[i].askLease(ctx, dir)
		if err != nil {
			return err
		}
		guests[i].lease = told
	}
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(tab, "\nWhat DHCP and DNS tell the guests\n\n")
	head(tab, guests)
	for _, r := range leaseRows() {
		row(tab, r[0], guests, func(g guest) string { return g.lease[r[1]] })
	}
	names, addresses := make(map[string]string), make(map[string]string)
	for _, g := range guests {
		var err error
		if names[g.Path()], addresses[g.Path()], err = g.names(ctx, g.lease); err != nil {
			return err
		}
	}
	row(tab, "name, by its address", guests, func(g guest) string { return names[g.Path()] })
	row(tab, "address, by its name", guests, func(g guest) string { return addresses[g.Path()] })
	return tab.Flush()
}

// head prints which column is whose.
func head(w io.Writer, guests []guest) {
	row(w, "", guests, func(g guest) string { return g.name })
	row(w, "in network", guests, func(g guest) string { return g.network })
	row(w, "as address", guests, func(g guest) string { return g.address })
	row(w, "", guests, func(g guest) string { return strings.Repeat("─", len(g.address)) })
}

// printGuests asks all questions as all guests and prints the answers side by side.
func printGuests(ctx context.Context, w io.Writer, guests []guest) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tab, "\nWhat the guests see at http://%s and, of CloudStack, at their router\n\n", metadata)
	head(tab, guests)
	for _, q := range questions() {
		var failed error
		row(tab, q.what, guests, func(g guest) string {
			answer, err := g.ask(ctx, q)
			failed = errors.Join(failed, err)
			return answer
		})
		if failed != nil {
			return failed
		}
	}
	return tab.Flush()
}

func row(w io.Writer, name string, guests []guest, cell func(guest) string) {
	cells := make([]string, len(guests))
	for i, g := range guests {
		cells[i] = cell(g)
	}
	fmt.Fprintf(w, "%s\t%s\n", name, strings.Join(cells, "\t"))
}

// ask asks one question from inside a guest's namespace.
func (g guest) ask(ctx context.Context, q question) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	host, token := metadata, ""
	switch q.how {
	case plainly:
	case withToken:
		answer, status, err := g.send(ctx, http.MethodPut, "http://"+host+"/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
		if err != nil || status != http.StatusOK {
			return http.StatusText(status), err
		}
		token = answer
	case atRouter:
		host = g.router
	}
	body, status, err := g.send(ctx, http.MethodGet, "http://"+host+q.path, "X-aws-ec2-metadata-token", token)
	if err != nil {
		return "", err
	}
	if status != http.StatusOK {
		return fmt.Sprint(status, " ", http.StatusText(status)), nil
	}
	return q.show(body), nil
}

// send sends one request, with a header unless its value is empty, from inside a guest's namespace.
func (g guest) send(ctx context.Context, method, url, header, value string) (body string, status int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return "", 0, err
	}
	if value != "" {
		req.Header.Set(header, value)
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: g.DialContext}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return "", 0, fmt.Errorf("ask %s as %s: %w", url, g.name, err)
	}
	all, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return "", 0, fmt.Errorf("ask %s as %s: %w", url, g.name, err)
	}
	return string(all), res.StatusCode, nil
}

func asIs(body string) string { return strings.TrimSpace(strings.ReplaceAll(body, "\n", " ")) }

func shortened(body string) string { return elide(asIs(body)) }

func lastLine(body string) string {
	body = strings.TrimSpace(body)
	return strings.TrimSpace(body[strings.LastIndexByte(body, '\n')+1:])
}

// field shows one member of a JSON object.
func field(name string) func(string) string {
	return func(body string) string {
		var object map[string]json.RawMessage
		if err := json.Unmarshal([]byte(body), &object); err != nil {
			return err.Error()
		}
		return elide(strings.Trim(string(object[name]), `"`))
	}
}

// elide shortens what is too wide for a column.
func elide(text string) string {
	if len(text) <= 24 {
		return text
	}
	return text[:8] + "…" + text[len(text)-8:]
}

// networkTypes shows the types of the networks in OpenStack's network_data.json.
func networkTypes(body string) string {
	var data struct {
		Networks []struct{ Type string }
	}
	if err := json.Unmarshal([]byte(body), &data); err != nil {
		return err.Error()
	}
	var types []string
	for _, n := range data.Networks {
		types = append(types, n.Type)
	}
	return strings.Join(types, " ")
}

func lines(text string) iter.Seq[string] {
	return strings.SplitSeq(strings.TrimRight(text, "\n"), "\n")
}
