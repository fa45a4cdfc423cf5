// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim"
	"github.com/lf-edge/eve-metadata/nim/kernel"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/netns"
	"github.com/lf-edge/eve-metadata/pkg/topics"
	"github.com/lf-edge/eve-metadata/tests/netns/sandbox"
	"github.com/lf-edge/eve-metadata/tests/program"
	"github.com/lf-edge/eve-metadata/tests/tool"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// sample is how many guests of many ask.
const sample = 8

// The whole service with very many guests: until it is ready, what it takes in memory, and until all is gone again. Its
// state is in memory as it is on a device, whose disk is another matter.
//
// Time is until the service is ready. The metrics: ready-ms of it for each network or app, whichever there are many of;
// memory in MB of the service (service-rss), of all DHCP and DNS servers (servers-rss) and of these when what they share
// counts once (servers-pss); and gone-ms, for each network or app again, until a service that leaves nothing behind has
// ended.
func BenchmarkScale(b *testing.B) {
	sandbox.Need(b)
	tool.Need(b, "/usr/sbin/dnsmasq", "dnsmasq-base")
	binary := program.Build(b)
	memory := b.TempDir()
	if err := unix.Mount("tmpfs", memory, "tmpfs", 0, "mode=0755"); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := unix.Unmount(memory, 0); err != nil {
			b.Error(err)
		}
	})
	for _, tt := range []struct{ networks, apps int }{{1000, 1}, {1, 4000}} {
		b.Run(fmt.Sprintf("networks=%d/apps=%d", tt.networks, tt.apps), func(b *testing.B) {
			b.Setenv("TMPDIR", memory)
			total := map[string]float64{}
			for range b.N {
				b.StopTimer()
				w := newScene(b, binary, manyYAML(tt.networks, tt.apps))
				w.manyOnce(b, tt.networks, tt.apps, total)
				b.StartTimer()
			}
			for unit, sum := range total {
				b.ReportMetric(sum/float64(b.N), unit)
			}
		})
	}
}

// manyOnce starts the service with the timer on, has guests ask, and ends it. It adds to the metrics.
func (w *scene) manyOnce(b *testing.B, networks, apps int, total map[string]float64) {
	b.Helper()
	each := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(networks*apps) }
	b.StartTimer()
	start := time.Now()
	w.Start("--ephemeral")
	total["ready-ms"] += each(time.Since(start))
	b.StopTimer()
	w.allKnown(networks * apps)
	servers := w.allServers(networks)
	for i := range sample {
		app := appOfMany(i*networks/sample, i*apps/sample)
		g := w.guest(app)
		w.Await(app, func() error { return g.expect("/latest/user-data", http.StatusOK, "I am "+app) })
	}
	service := memoryOf(b, "Rss:", w.Service.PID())
	total["service-rss-MB"] += service
	total["servers-rss-MB"] += memoryOf(b, "Rss:", servers...)
	total["servers-pss-MB"] += memoryOf(b, "Pss:", servers...)
	end := time.Now()
	if err := w.Service.Stop(); err != nil {
		b.Fatal(err)
	}
	total["gone-ms"] += each(time.Since(end))
	left, err := kernel.New(w.Root).Names()
	if err != nil || len(left) != 0 || len(w.servers()) != 0 {
		b.Errorf("%d namespaces and %d servers are left: %v", len(left), len(w.servers()), err)
	}
}

// manyYAML are the manifests of networks with so many apps each. All networks have the same subnet.
func manyYAML(networks, apps int) map[string]string {
	files := map[string]string{}
	for n := range networks {
		network := fmt.Sprint("n", n)
		files[network+".yaml"] = world.NetYAML(network, "10.11.0.0/16")
		for i := range apps {
			app := appOfMany(n, i)
			files[app+".yaml"] = world.AppYAML(app, network, "dhcp")
		}
	}
	return files
}

// appOfMany is the name of an app of a network.
func appOfMany(network, app int) string { return fmt.Sprintf("a%d-%d", network, app) }

// allKnown returns when the server knows so many apps.
func (w *scene) allKnown(apps int) {
	w.T.Helper()
	w.AwaitLogs(apps, map[string]any{"msg": "instance known"})
	if got := len(world.Published(w.World, topics.Own().AppStatus)); got != apps {
		w.T.Errorf("%d apps are published, want %d", got, apps)
	}
}

// allServers returns the DHCP and DNS servers as soon as there is one for each network.
func (w *scene) allServers(networks int) (pids []int) {
	w.T.Helper()
	w.Await("servers", func() error {
		if pids = w.servers(); len(pids) != networks {
			return fmt.Errorf("there are %d", len(pids))
		}
		return nil
	})
	return pids
}

// memoryOf returns what processes have in memory, in MB.
func memoryOf(t testing.TB, kind string, pids ...int) (sum float64) {
	t.Helper()
	for _, pid := range pids {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "smaps_rollup"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if fields := strings.Fields(line); len(fields) == 3 && fields[0] == kind {
				kb, err := strconv.ParseFloat(fields[1], 64)
				if err != nil {
					t.Fatal(err)
				}
				sum += kb / 1000
			}
		}
	}
	return sum
}

// In a network of very many, on more bridges than one, who comes and goes is a matter of his own: no other port is touched,
// the server stays and gets one line more, or less, and nothing is published of others.
func TestOneOfMany(t *testing.T) {
	t.Parallel()
	sandbox.Need(t)
	tool.Need(t, "/usr/sbin/dnsmasq", "dnsmasq-base")
	const many = plan.MaxBridgePorts + 200
	w := newScene(t, program.Build(t), manyYAML(1, many))
	w.Start()
	w.allKnown(many)
	server := w.server()
	before, files := w.Apps(), w.serverFiles()

	changes := w.watchLinks(before[appOfMany(0, 0)].AppNetAdapterList[0].Network.String())
	w.Save("newcomer.yaml", world.AppYAML("newcomer", "n0", "dhcp"))
	newcomer := w.guest("newcomer")
	world.Must(t, newcomer.expect("/latest/user-data", http.StatusOK, "I am newcomer"))
	w.Await("newcomer's files", func() error { return onlyMore(files, w.serverFiles(), newcomer.address(), "dhcp-hosts", "hosts") })
	w.Remove("newcomer.yaml")
	w.Await("end of newcomer", func() error {
		if after := w.Apps(); !maps.EqualFunc(before, after, sameStatus) {
			return fmt.Errorf("%d apps, and not as before", len(after))
		}
		return onlyMore(files, w.serverFiles(), "")
	})

	own := []string{newcomer.port.Vif, plan.GuestEnd(newcomer.port.Vif)}
	touched := changes()
	if !slices.Contains(touched, own[0]) {
		t.Errorf("changes were on %q, want some on %s", touched, own[0])
	}
	for _, link := range touched {
		if (plan.IsPort(link) || plan.IsGuestEnd(link)) && !slices.Contains(own, link) {
			t.Errorf("the newcomer's changes touched %s", link)
		}
	}
	if now := w.server(); now != server {
		t.Errorf("the server is process %d, before it was %d", now, server)
	}
}

func sameStatus(a, b eve.AppNetworkStatus) bool { return reflect.DeepEqual(a, b) }

// watchLinks notes on which interfaces of a network something changes, until it is asked for their names.
func (w *scene) watchLinks(network string) (names func() []string) {
	w.T.Helper()
	ns, err := netns.Open(nim.NamespacePath(w.Root, network))
	if err != nil {
		w.T.Fatal(err)
	}
	changed, done := make(chan netlink.LinkUpdate), make(chan struct{})
	handle := ns.Handle()
	err = netlink.LinkSubscribeWithOptions(changed, done, netlink.LinkSubscribeOptions{Namespace: &handle})
	if err = errors.Join(err, ns.Close()); err != nil {
		w.T.Fatal(err)
	}
	seen := map[string]bool{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for c := range changed {
			seen[c.Link.Attrs().Name] = true
		}
	}()
	return func() []string {
		close(done)
		<-ended
		return slices.Sorted(maps.Keys(seen))
	}
}

// serverFiles returns what the only server has been told, by name of file, without its leases.
func (w *scene) serverFiles() map[string]string {
	w.T.Helper()
	paths, err := filepath.Glob(filepath.Join(w.Root, "run/mdnim-dnsmasq/*/*"))
	if err != nil {
		w.T.Fatal(err)
	}
	files := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if name := filepath.Base(path); err == nil && name != "leases" && !strings.HasSuffix(name, "~") {
			files[name] = string(text)
		}
	}
	return files
}

// onlyMore says in which way files differ otherwise than by one more line with a text in each of some.
func onlyMore(before, after map[string]string, text string, in ...string) error {
	if len(after) != len(before) {
		return fmt.Errorf("there are %d files, before there were %d", len(after), len(before))
	}
	for name := range after {
		have := slices.Collect(strings.Lines(before[name]))
		more := slices.DeleteFunc(slices.Collect(strings.Lines(after[name])), func(line string) bool { return slices.Contains(have, line) })
		want := 0
		if slices.Contains(in, name) {
			want = 1
		}
		if len(more) != want || want == 1 && !strings.Contains(more[0], text) {
			return fmt.Errorf("file %s has %q more, want %d lines with %q", name, more, want, text)
		}
		if got := strings.Count(after[name], "\n"); got != len(have)+want {
			return fmt.Errorf("file %s has %d lines, before it had %d", name, got, len(have))
		}
	}
	return nil
}
