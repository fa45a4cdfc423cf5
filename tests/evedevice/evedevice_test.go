// SPDX-License-Identifier: Apache-2.0

package evedevice_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
	"github.com/lf-edge/eve-metadata/pkg/topics"
	"github.com/lf-edge/eve-metadata/tests/evedevice"
)

const recordedDatagrams = "../../pkg/eve/testdata/eve-pubsub-datagrams.jsonl"

func TestAgents(t *testing.T) {
	t.Parallel()
	program := evedevice.Build(t)
	for name, test := range map[string]func(*testing.T, *evedevice.Device){
		"datagrams":   datagrams,
		"requests":    requests,
		"changes":     changes,
		"merging":     merging,
		"large":       large,
		"too large":   tooLarge,
		"files":       files,
		"succession":  succession,
		"subscribers": subscribers,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, evedevice.New(t, program))
		})
	}
}

// recorded is what an agent of EVE's sent to a subscriber of one table.
type recorded struct {
	datagrams []string
	large     map[string]string // files, by path
}

func readRecorded(t *testing.T) map[string]recorded {
	t.Helper()
	f, err := os.Open(recordedDatagrams)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tables := make(map[string]recorded)
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			Agent, Topic, Datagram string
			Large                  map[string]string `json:"large_files"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		table := tables[line.Agent+"/"+line.Topic]
		if table.large == nil {
			table.large = make(map[string]string)
		}
		table.datagrams = append(table.datagrams, line.Datagram)
		maps.Copy(table.large, line.Large)
		tables[line.Agent+"/"+line.Topic] = table
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return tables
}

// datagrams: for the values that were recorded, the agents send the datagrams that were, and put the same into files.
func datagrams(t *testing.T, d *evedevice.Device) {
	agents := startAll(d)
	publishRecorded(t, agents)
	compared := 0
	for table, want := range readRecorded(t) {
		agent, topic, _ := strings.Cut(table, "/")
		if agents[agent] == nil {
			continue // it concerns no guest
		}
		compared++
		got := subscribe(t, d, table, "request "+topic).until("complete ")
		if first := got[0]; first != want.datagrams[0] {
			t.Errorf("%s: first %q, want %q", table, first, want.datagrams[0])
		}
		readGot := func(path string) string { return read(t, path) }
		readWant := func(path string) string { return want.large[path] }
		if diff := cmp.Diff(likened(t, want.datagrams, "", readWant), likened(t, got, d.Root, readGot)); diff != "" {
			t.Errorf("%s (-EVE +agent):\n%s", table, diff)
		}
	}
	if compared < 16 {
		t.Errorf("%d tables were compared, want more", compared)
	}
}

// likened makes datagrams comparable: sorted, and of files without what is random in their names, with their content.
func likened(t *testing.T, datagrams []string, root string, content func(path string) string) (lines []string) {
	t.Helper()
	random := regexp.MustCompile(`[0-9]+$`)
	for _, datagram := range datagrams {
		if !strings.HasPrefix(datagram, "update ") {
			lines = append(lines, datagram)
			continue
		}
		value := valueOf(t, datagram)
		for _, path := range pathsIn(value) {
			name := random.ReplaceAllString(strings.TrimPrefix(path, root), "")
			value = strings.Replace(value, path, name, 1)
			lines = append(lines, name+" of "+strings.Split(datagram, " ")[2]+": "+content(path))
		}
		lines = append(lines, strings.Join(strings.Split(datagram, " ")[:3], " ")+" "+value)
	}
	slices.Sort(lines)
	return lines
}

// pathsIn are the paths of large fields in a value.
func pathsIn(value string) []string {
	var paths []string
	for _, match := range regexp.MustCompile(`"\\"(/[^"]*/pubsub-large/[^"]*)\\""`).FindAllStringSubmatch(value, -1) {
		paths = append(paths, match[1])
	}
	return paths
}

// startAll starts all agents.
func startAll(d *evedevice.Device) map[string]*evedevice.Agent {
	agents := make(map[string]*evedevice.Agent)
	for _, name := range evedevice.Agents() {
		agents[name] = d.Start(name)
	}
	return agents
}

// publishRecorded has the agents publish the recorded topics.
func publishRecorded(t *testing.T, agents map[string]*evedevice.Agent) {
	t.Helper()
	publish[eve.AppInstanceConfig](t, agents, "zedagent")
	publish[eve.NetworkInstanceConfig](t, agents, "zedagent")
	publish[eve.EdgeNodeInfo](t, agents, "zedagent")
	publish[eve.ControllerCert](t, agents, "zedagent")
	publish[eve.CipherContext](t, agents, "zedagent")
	publish[eve.ConfigItemValueMap](t, agents, "zedagent")
	publish[eve.PatchEnvelopeInfoList](t, agents, "zedagent")
	publish[eve.AppInstanceStatus](t, agents, "zedmanager")
	publish[eve.AppNetworkConfig](t, agents, "zedmanager")
	publish[eve.DomainConfig](t, agents, "zedmanager")
	publish[eve.AppNetworkStatus](t, agents, "zedrouter")
	publish[eve.NetworkInstanceStatus](t, agents, "zedrouter")
	publish[eve.NetworkMetrics](t, agents, "zedrouter")
	publish[eve.DomainStatus](t, agents, "domainmgr")
	publish[eve.EdgeNodeCert](t, agents, "tpmmgr")
	publish[eve.DeviceNetworkStatus](t, agents, "nim")
	publish[eve.WwanLocationInfo](t, agents, "wwan")
}

func publish[T any](t *testing.T, agents map[string]*evedevice.Agent, agent string) {
	t.Helper()
	for key, value := range evedevice.AllRecorded[T](t, agent) {
		evedevice.Set(agents[agent], key, value)
	}
}

// requests: who asks for another table, or in other words, is not answered.
func requests(t *testing.T, d *evedevice.Device) {
	d.Start("zedagent")
	for _, request := range []string{
		"request", "request EdgeNodeInf", "request EdgeNodeInfo ", "request EdgeNodeInfo x", "REQUEST EdgeNodeInfo",
		"request AppInstanceConfig", "request EdgeNodeInfo" + strings.Repeat(" ", 300),
	} {
		if datagram, ok := subscribe(t, d, "zedagent/EdgeNodeInfo", request).next(); ok {
			t.Errorf("%.40q is answered by %q", request, datagram)
		}
	}
}

// network is a small value; its text is told from others of the kind by the name.
func network(name string) eve.NetworkInstanceConfig {
	return eve.NetworkInstanceConfig{UUIDandVersion: eve.UUIDandVersion{UUID: uuid.NameSpaceOID}, DisplayName: name}
}

// changes: with every change all keys are sent again, after what was deleted; a value that is the same is no change.
func changes(t *testing.T, d *evedevice.Device) {
	zedagent := d.Start("zedagent")
	for _, key := range []string{"a", "b", "c"} {
		evedevice.Set(zedagent, key, network(key))
	}
	evedevice.Restarted[eve.NetworkInstanceConfig](zedagent, 2)
	const topic = "NetworkInstanceConfig"
	p := subscribe(t, d, "zedagent/"+topic, "request "+topic)
	check := func(what, last string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, verbs(p.until(last))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	u := func(keys ...string) (updates []string) {
		for _, key := range keys {
			updates = append(updates, "update "+topic+" "+key)
		}
		return updates
	}
	restarted := func(n int) string { return fmt.Sprintf("restarted %s %d", topic, n) }
	check("first", "restarted ", slices.Concat([]string{"hello " + topic + " false"}, u("a", "b", "c"),
		[]string{"complete " + topic, restarted(2)})...)

	evedevice.Set(zedagent, "a", network("a")) // is the same
	evedevice.Restarted[eve.NetworkInstanceConfig](zedagent, 3)
	check("restarted", "restarted ", append(u("a", "b", "c"), restarted(3))...)
	evedevice.Delete[eve.NetworkInstanceConfig](zedagent, "b")
	sent := append(p.until("delete "), p.until("update ")[0], p.until("update ")[0])
	if diff := cmp.Diff(append([]string{"delete " + topic + " b"}, u("a", "c")...), verbs(sent)); diff != "" {
		t.Errorf("deleted (-want +got):\n%s", diff)
	}
	evedevice.Restarted[eve.NetworkInstanceConfig](zedagent, 0)
	check("cleared", "restarted ", append(u("a", "c"), restarted(0))...)
}

// merging: a subscriber that is slow gets the last value, and not all before.
func merging(t *testing.T, d *evedevice.Device) {
	zedagent := d.Start("zedagent")
	p := subscribe(t, d, "zedagent/NetworkInstanceConfig", "request NetworkInstanceConfig")
	p.until("complete ")
	const values = 100
	for i := range values {
		evedevice.Set(zedagent, "a", network(fmt.Sprintf("%d %s", i+1, strings.Repeat("x", 40_000))))
	}
	evedevice.Restarted[eve.NetworkInstanceConfig](zedagent, 1)
	sent := p.until("restarted ")
	if len(sent) > values/2 || !strings.Contains(valueOf(t, sent[len(sent)-2]), fmt.Sprintf(`"%d x`, values)) {
		t.Errorf("%d values came as %d datagrams, want fewer and the last value in the last", values, len(sent)-1)
	}
}

// large: every connection and every time it is sent, a field that may be large is in a file of its own.
func large(t *testing.T, d *evedevice.Device) {
	zedagent := d.Start("zedagent")
	const key = "c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b002"
	app := evedevice.Recorded[eve.AppInstanceConfig](t, "zedagent", key)
	app.CloudInitUserData = new(strings.Repeat("QUJD", 30_000))
	evedevice.Set(zedagent, key, app)
	seen := make(map[string]bool)
	for range 2 {
		p := subscribe(t, d, "zedagent/AppInstanceConfig", "request AppInstanceConfig")
		sent := p.until("complete ")
		evedevice.Restarted[eve.AppInstanceConfig](zedagent, len(seen)+1)
		again := p.until("update ")
		for _, datagram := range []string{sent[1], again[len(again)-1]} {
			paths := largeFiles(t, valueOf(t, datagram))
			for field, content := range map[string]string{
				"CloudInitUserData": `{"pubsub-large-CloudInitUserData":"` + *app.CloudInitUserData + `"}`,
				"CipherData":        `{"pubsub-large-CipherData":null}`,
			} {
				path := paths[field]
				if got := read(t, path); got != content || seen[path] {
					t.Errorf("%s is in %s, seen before: %t, with %.80q, want %.80q", field, path, seen[path], got, content)
				}
				seen[path] = true
			}
		}
	}
	// What happens with the counter may have been sent to the first peer, too.
	if got := d.LargeFiles(); len(got) < len(seen) {
		t.Errorf("files are %q, want at least those of %v", got, seen)
	}
	checkMode(t, d.LargeFiles()[0], 0o600)
	checkMode(t, filepath.Dir(d.LargeFiles()[0]), 0o755)
}

func checkMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("%s has the mode %o, want %o", path, got, want)
	}
}

// tooLarge: the agent dies of a value that it cannot send, while one that is just small enough is sent.
func tooLarge(t *testing.T, d *evedevice.Device) {
	app := eve.AppInstanceConfig{CloudInitUserData: new(strings.Repeat("x", 1<<20-len(`{"pubsub-large-CloudInitUserData":""}`)-1))}
	zedagent := d.Start("zedagent")
	evedevice.Set(zedagent, "a", app)
	subscribe(t, d, "zedagent/AppInstanceConfig", "request AppInstanceConfig").until("complete ")
	zedagent.Kill()
	zedagent = d.Start("zedagent")
	*app.CloudInitUserData += "x"
	evedevice.Set(zedagent, "a", app)
	subscribe(t, d, "zedagent/AppInstanceConfig", "request AppInstanceConfig")
	zedagent.AwaitEnd("too large field")

	zedagent = d.Start("zedagent")
	evedevice.Set(zedagent, "a", network(strings.Repeat("x", 1<<16)))
	subscribe(t, d, "zedagent/NetworkInstanceConfig", "request NetworkInstanceConfig")
	zedagent.AwaitEnd("too large message")
}

// files: a table's files are those of EVE, and the agent's successor starts with what they have.
func files(t *testing.T, d *evedevice.Device) {
	const (
		volatile = "var/run/zedagent/EdgeNodeInfo"
		kept     = "persist/status/zedagent/PatchEnvelopeInfoList"
	)
	node := func(name string) eve.EdgeNodeInfo { return eve.EdgeNodeInfo{DeviceName: name} }
	patches := func(name string) eve.PatchEnvelopeInfoList {
		return eve.PatchEnvelopeInfoList{Envelopes: []eve.PatchEnvelopeInfo{{Name: name}}}
	}
	zedagent := d.Start("zedagent")
	for _, name := range []string{"one", "two"} {
		evedevice.Set(zedagent, "global", node(name))
		evedevice.Set(zedagent, "global", patches(name))
		evedevice.Set(zedagent, "gone", node(name))
		evedevice.Set(zedagent, "gone", patches(name))
	}
	evedevice.Delete[eve.EdgeNodeInfo](zedagent, "gone")
	evedevice.Delete[eve.PatchEnvelopeInfoList](zedagent, "gone")
	evedevice.Restarted[eve.EdgeNodeInfo](zedagent, 7)
	for dir, want := range map[string][]string{
		volatile: {"global.json", "restarted"}, kept: {"global.json", "global.json.bak"},
	} {
		if got := list(t, d.Path(dir)); !cmp.Equal(got, want) {
			t.Errorf("%s has %q, want %q", dir, got, want)
		}
		checkMode(t, d.Path(dir), 0o700)
		checkMode(t, filepath.Join(d.Path(dir), want[0]), 0o600)
	}
	checkMode(t, d.Path("var/run/zedagent"), 0o700)
	checkMode(t, d.Path(volatile+".sock"), 0o755)
	content := func(value any) string {
		t.Helper()
		b, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for path, want := range map[string]string{
		volatile + "/global.json": content(node("two")), volatile + "/restarted": "7",
		kept + "/global.json": content(patches("two")), kept + "/global.json.bak": content(patches("one")),
	} {
		if diff := cmp.Diff(want, read(t, d.Path(path))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}

	zedagent.Kill()
	for path, text := range map[string]string{
		volatile + "/other.json": content(node("other")), volatile + "/empty.json": "", volatile + "/backup.json.bak": "{}",
		kept + "/global.json": "",
	} {
		if err := os.WriteFile(d.Path(path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.Start("zedagent")
	for table, want := range map[string][]string{
		"EdgeNodeInfo": {
			"hello EdgeNodeInfo false", "update EdgeNodeInfo global", "update EdgeNodeInfo other", "complete EdgeNodeInfo",
		},
		"PatchEnvelopeInfoList": {
			"hello PatchEnvelopeInfoList true", "update PatchEnvelopeInfoList global", "complete PatchEnvelopeInfoList",
		},
	} {
		sent := subscribe(t, d, "zedagent/"+table, "request "+table).until("complete ")
		if diff := cmp.Diff(want, verbs(sent)); diff != "" {
			t.Errorf("after a crash (-want +got):\n%s", diff)
		}
		if table == "PatchEnvelopeInfoList" && !strings.Contains(valueOf(t, sent[1]), `"one"`) {
			t.Errorf("the value is not the backup: %s", valueOf(t, sent[1]))
		}
	}
	if got := list(t, d.Path(volatile)); slices.Contains(got, "restarted") {
		t.Errorf("the restart counter is still there: %q", got)
	}
}

func list(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// succession: a dead agent's sockets are taken over, a living one's are not.
func succession(t *testing.T, d *evedevice.Device) {
	first := d.Start("wwan")
	if _, err := d.TryStart("wwan"); err == nil || !strings.Contains(err.Error(), "already used") {
		t.Errorf("second agent: %v, want that the table is used", err)
	}
	if want := []string{"wwan/WwanLocationInfo", "wwan/WwanMetrics", "wwan/WwanStatus"}; !cmp.Equal(d.Sockets(), want) {
		t.Errorf("sockets are %q, want %q", d.Sockets(), want)
	}
	first.Kill()
	evedevice.Set(d.Start("wwan"), "global", evedevice.Recorded[eve.WwanLocationInfo](t, "wwan", "global"))
	subscribe(t, d, "wwan/WwanLocationInfo", "request WwanLocationInfo").until("update ")
}

// subscribers: the project's own subscriber gets the values as they were recorded, and leaves no file of a large field, with
// any number of changes.
func subscribers(t *testing.T, d *evedevice.Device) {
	agents := startAll(d)
	publishRecorded(t, agents)

	restarts, kinds := make(chan int), make(map[pubsub.EventKind]int)
	end := listen(t, d, topics.Device().Apps, func(e pubsub.Event[eve.AppInstanceConfig]) {
		kinds[e.Kind]++
		if e.Kind == pubsub.Restarted {
			restarts <- e.Restarted
		}
	})
	for n := range 50 {
		evedevice.Restarted[eve.AppInstanceConfig](agents["zedagent"], n+1)
		for <-restarts != n+1 {
			continue
		}
	}
	noneLeft(t, d, topics.Device().Apps.Table)
	end()
	if kinds[pubsub.Create] != 3 || kinds[pubsub.Modify] != 0 {
		t.Errorf("events are %v, want three creations and no modification", kinds)
	}

	follow(t, d, topics.Device().Apps)
	follow(t, d, topics.Device().AppNetworks)
	follow(t, d, topics.Device().AppStatus)
	follow(t, d, topics.Device().NetworkStatus)
	follow(t, d, topics.Device().Domains)
	follow(t, d, topics.Device().ControllerCerts)
	follow(t, d, topics.Device().DeviceCerts)
	follow(t, d, topics.Device().Node)
	follow(t, d, topics.Device().Settings)
	follow(t, d, topics.Device().Ports)
	follow(t, d, topics.Device().NetworkMetrics)
	follow(t, d, topics.Device().Location)
	follow(t, d, topics.Device().Patches)
}

// noneLeft looks for large fields that were not taken. For who has gone an agent may still write one before it notices.
func noneLeft(t *testing.T, d *evedevice.Device, table pubsub.Table) {
	t.Helper()
	for _, file := range d.LargeFiles() {
		if strings.Contains(file, "/"+table.Name()+"/") {
			t.Errorf("%s is left", file)
		}
	}
}

// follow subscribes to a topic until all of it is there, which has to be what was recorded.
func follow[T any](t *testing.T, d *evedevice.Device, topic pubsub.Topic[T]) {
	t.Helper()
	got, synced := make(map[string]T), make(chan struct{})
	end := listen(t, d, topic, func(e pubsub.Event[T]) {
		switch e.Kind {
		case pubsub.Create, pubsub.Modify:
			got[e.Key] = e.Value
		case pubsub.Synced:
			close(synced)
		}
	})
	select {
	case <-synced:
	case <-time.After(patience):
		t.Errorf("%s is not synchronized", topic.Name())
	}
	noneLeft(t, d, topic.Table)
	end()
	want := evedevice.AllRecorded[T](t, topic.Agent)
	if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
		t.Errorf("%s, %d values (-recorded +got):\n%s", topic.Name(), len(want), diff)
	}
}

// listen follows a topic until end is called.
func listen[T any](t *testing.T, d *evedevice.Device, topic pubsub.Topic[T], handle func(pubsub.Event[T])) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- pubsub.Subscribe(ctx, &socket.Driver{Root: d.Root}, topic, handle) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
