// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/netns"
	"github.com/lf-edge/eve-metadata/tests/netns/sandbox"
	"github.com/lf-edge/eve-metadata/tests/tool"
)

func TestMain(m *testing.M) { sandbox.Main(m) }

// newNamespace makes a namespace for one test.
func newNamespace(t testing.TB) *netns.Namespace {
	t.Helper()
	sandbox.Need(t)
	path := filepath.Join(t.TempDir(), "ns")
	if err := netns.Create(path); err != nil {
		t.Fatal(err)
	}
	ns, err := netns.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(ns.Close(), netns.Delete(path)); err != nil {
			t.Error(err)
		}
	})
	return ns
}

func newRules(t testing.TB, ns *netns.Namespace) *rules {
	t.Helper()
	r, err := openRules(ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// nft has nft(8) do what text says.
func nft(t *testing.T, ns *netns.Namespace, text string) {
	t.Helper()
	tool.Need(t, "nft", "nftables")
	cmd := exec.CommandContext(t.Context(), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	var out []byte
	err := ns.Do(func() (err error) {
		out, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		t.Fatalf("nft: %v\n%s\n%s", err, out, text)
	}
}

// text returns the table as nft(8) is told it.
func (t *table) text(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "table %s {\n", name)
	for _, s := range t.sets {
		var types []string
		for _, p := range s.key {
			types = append(types, p.Name)
		}
		if s.isMap() {
			fmt.Fprintf(&b, "map %s { type %s : %s;", s.name, types[0], s.data.Name)
		} else {
			fmt.Fprintf(&b, "set %s { type %s;", s.name, strings.Join(types, separator))
		}
		if s.dynamic {
			fmt.Fprintf(&b, " size %d; flags dynamic,timeout; timeout %ds;", s.size, int(s.timeout.Seconds()))
		}
		b.WriteString(" }\n")
	}
	for _, c := range t.chains {
		fmt.Fprintf(&b, "chain %s {\n", c.name)
		if c.hook != nil {
			fmt.Fprintf(&b, "type %s hook %s priority %d; policy %s;\n", c.kind, hookName(c), c.priority, []string{"drop", "accept"}[c.policy])
		}
		for _, r := range c.rules {
			b.WriteString(typed(r.text) + "\n")
		}
		b.WriteString("}\n")
	}
	return b.String() + "}\n"
}

// hookName is the name of a base chain too.
func hookName(c chain) string { return c.name }

// untyped are addresses in the transport header for which nft(8) has no word, or got one only later (icmpv6 taddr). In its
// place the text that it is told has another field of the same type.
var untyped = []struct {
	text, instead string
	field         expr.Payload // that it has instead
	offset        uint32       // where the address is
}{
	{"@th,64,128", "ip6 saddr", expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: 8, Len: 16}, 8},
	{"@th,80,48", "ether saddr", expr.Payload{Base: expr.PayloadBaseLLHeader, Offset: 6, Len: 6}, 10},
	{"@th,208,48", "ether saddr", expr.Payload{Base: expr.PayloadBaseLLHeader, Offset: 6, Len: 6}, 26},
	{"@th,288,48", "ether saddr", expr.Payload{Base: expr.PayloadBaseLLHeader, Offset: 6, Len: 6}, 36},
}

// typed writes addresses without a word as other fields; see inTransport.
func typed(text string) string {
	for _, u := range untyped {
		text = strings.ReplaceAll(text, u.text, u.instead)
	}
	return text
}

// inTransport takes back what typed did to a rule's text.
func inTransport(text string, exprs []expr.Any) {
	for _, u := range untyped {
		for _, e := range exprs {
			p, ok := e.(*expr.Payload)
			if ok && strings.Contains(text, u.text) && p.Base == u.field.Base && p.Offset == u.field.Offset && p.Len == u.field.Len {
				p.Base, p.Offset = expr.PayloadBaseTransportHeader, u.offset
			}
		}
	}
}

// withoutProtocol drops what nft(8) adds about the protocol that a header belongs to: loading it and comparing it.
func withoutProtocol(exprs []expr.Any) []expr.Any {
	for i := 0; i+1 < len(exprs); i++ {
		m, ok := exprs[i].(*expr.Meta)
		p, is := exprs[i].(*expr.Payload)
		if ok && m.Key == expr.MetaKeyPROTOCOL || is && p.Base == expr.PayloadBaseLLHeader && p.Offset == 12 {
			exprs = slices.Delete(exprs, i, i+2)
			i--
		}
	}
	return exprs
}

// Rules are what their text says, to nft(8) and to the kernel, and sets are what nft(8) would make.
func TestTablesAreTheirText(t *testing.T) {
	t.Parallel()
	for name, table := range tables() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := newNamespace(t)
			nft(t, ns, table.text(name))
			r := newRules(t, ns)
			for _, c := range table.chains {
				have, err := r.conn.GetRules(&table.Table, &nftables.Chain{Name: c.name})
				if err != nil || len(have) != len(c.rules) {
					t.Fatalf("chain %s has %d rules, error %v", c.name, len(have), err)
				}
				for i, want := range c.rules {
					got := have[i].Exprs
					if strings.Contains(want.text, "@th,64,128") && strings.HasPrefix(want.text, "ip6 saddr") {
						continue // has both; its parts are in other rules
					}
					inTransport(want.text, got)
					if table.Family == nftables.TableFamilyBridge && !strings.Contains(want.text, "meta protocol") && !strings.Contains(want.text, "ether type") {
						got = withoutProtocol(got)
					}
					if diff := cmp.Diff(got, want.exprs); diff != "" {
						t.Errorf("%s: %s (-nft +ours):\n%s", c.name, want.text, diff)
					}
				}
			}
			made := newRules(t, newNamespace(t))
			if errs := made.apply([]plan.Step{plan.TableAdd{Table: name}}); errs != nil {
				t.Fatal(errs)
			}
			if diff := cmp.Diff(setsOf(t, r, table), setsOf(t, made, table)); diff != "" {
				t.Errorf("sets (-nft +ours):\n%s", diff)
			}
		})
	}
}

// setsOf returns what can be seen of a table's sets.
func setsOf(t *testing.T, r *rules, table *table) map[string]string {
	t.Helper()
	sets, err := r.conn.GetSets(&table.Table)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, s := range sets {
		seen[s.Name] = fmt.Sprint(s.KeyType.Name, s.KeyType.Bytes, s.IsMap, s.DataType.Name, s.DataType.Bytes, s.Size, s.Timeout, s.HasTimeout, s.Dynamic, s.Interval)
	}
	return seen
}

// People who look at the host's rules see all of them: nft(8) of some versions aborts on what it can not put into words.
func TestTablesCanBeListed(t *testing.T) {
	t.Parallel()
	for name := range tables() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := newNamespace(t)
			if errs := newRules(t, ns).apply(exampleOf(name)); errs != nil {
				t.Fatal(errs)
			}
			nft(t, ns, "list table "+name)
		})
	}
}

// A table is seen as it was made, and not any more once somebody has changed its rules.
func TestObserve(t *testing.T) {
	t.Parallel()
	spoil := map[string]string{
		"not at all":     "",
		"flush table":    "flush table %s",
		"delete table":   "delete table %s",
		"flush a chain":  "flush chain %s CHAIN",
		"another rule":   "add rule %s CHAIN accept",
		"another chain":  "add chain %s more",
		"another policy": "add chain %s CHAIN { policy POLICY; }",
	}
	for name, table := range tables() {
		for what, text := range spoil {
			t.Run(name+": "+what, func(t *testing.T) {
				t.Parallel()
				ns := newNamespace(t)
				r := newRules(t, ns)
				if seen, err := r.observe(slices.Sorted(maps.Keys(tables()))...); len(seen) != 0 || err != nil {
					t.Fatalf("seen in an empty namespace: %v, error %v", seen, err)
				}
				if errs := r.apply(exampleOf(name)); errs != nil {
					t.Fatal(errs)
				}
				if text == "" {
					checkSeen(t, r, name)
					return
				}
				first := table.chains[0]
				other := []string{"accept", "drop"}[first.policy]
				nft(t, ns, fmt.Sprintf(strings.NewReplacer("CHAIN", first.name, "POLICY", other).Replace(text), name))
				if seen, err := r.observe(name); len(seen) != 0 || err != nil {
					t.Errorf("seen after %q: %v, error %v", text, seen, err)
				}
				if errs := r.apply(exampleOf(name)); errs != nil {
					t.Fatal(errs)
				}
				checkSeen(t, r, name)
			})
		}
	}
}

// examples are elements of every set that plans know, sorted.
func examples() map[string]map[string][]string {
	return map[string]map[string][]string{
		plan.FilterTable: {
			plan.SetTrunks: {"br1x"}, plan.SetAnyone: {"nb00000000002"},
			plan.SetMACs:      {"nb00000000001 . 02:16:3e:00:00:01", "nb00000000002 . 02:16:3e:00:00:02"},
			plan.SetAddresses: {"nb00000000001 . 10.0.0.1"}, plan.SetOwn: {"10.0.0.254", "169.254.169.254"},
			plan.SetAddress6: {"nb00000000001 . 2001:db8::1", "nb00000000001 . fe80::16:3eff:fe00:1"}, plan.SetOwn6: {"fe80::a9fe:a9fe"},
			plan.SetSLAAC: {"2001:db8::"},
		},
		plan.RouterTable: {},
		plan.UplinkTable: {},
		plan.HostTable:   {plan.SetUplinks: {"mdu00000000001"}, plan.SetUplinkBy: {"mdu00000000002 . eth0"}, plan.SetBridges: {"bn1"}},
		plan.GuardTable: {
			plan.SetBridges: {"bn1"},
			plan.SetGuests:  {"bn1 . nbu1x1 . 02:16:3e:00:00:01 . 00:16:3e:06:00:01", "bn1 . nbu1x2 . 02:16:3e:00:00:02 . 00:16:3e:06:00:01"},
		},
	}
}

// exampleOf returns the steps to a table with its examples.
func exampleOf(name string) []plan.Step {
	steps := []plan.Step{plan.TableAdd{Table: name}}
	for set, elements := range examples()[name] {
		for _, e := range elements {
			steps = append(steps, plan.ElementAdd{Table: name, Set: set, Element: e})
		}
	}
	return steps
}

func checkSeen(t *testing.T, r *rules, name string) {
	t.Helper()
	seen, err := r.observe(name)
	if err != nil {
		t.Fatal(err)
	}
	got := seen[name].Sets
	for set := range got {
		if got[set] == nil {
			delete(got, set)
		}
	}
	if diff := cmp.Diff(examples()[name], got); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
}

// What is done already is no failure, what can not be done is one of that step, and the rest is done.
func TestApplyRules(t *testing.T) {
	t.Parallel()
	r := newRules(t, newNamespace(t))
	element := func(e string) plan.ElementAdd {
		return plan.ElementAdd{Table: plan.FilterTable, Set: plan.SetAddress6, Element: e}
	}
	if errs := r.apply([]plan.Step{element("nb1 . ::1")}); len(errs) == 0 || !errors.Is(errs[0], unix.ENOENT) || !errors.Is(errs[0], fs.ErrNotExist) {
		t.Errorf("element without a table: %v", errs)
	}
	if errs := r.apply(slices.Concat(exampleOf(plan.FilterTable), []plan.Step{element("nb1 . fe80::1"), element("nb1 . fe80::1")})); errs != nil {
		t.Errorf("make the table: %v", errs)
	}
	errs := r.apply([]plan.Step{
		element("nb00000000001 . 2001:db8::1"), // is there
		plan.ElementDel(element("nb1 . fe80::2")),
		element("nb1 . 10.0.0.1"),
		plan.ElementAdd{Table: plan.FilterTable, Set: setClaims, Element: "nb1 . fe80::1"},
		plan.ElementAdd{Table: plan.HostTable, Set: plan.SetBridges, Element: "bn1"},
		plan.LinkDel{Link: "x"},
		plan.TableDel{Table: plan.UplinkTable},
		plan.TableDel{Table: "ip other"},
		plan.ElementDel(element("nb1 . fe80::1")),
		element("nb2 . fe80::3"),
	})
	want := []error{errElement, errors.ErrUnsupported, errors.ErrUnsupported, errors.ErrUnsupported, unix.ENOENT}
	if len(errs) != len(want) {
		t.Fatalf("errors: %v", errs)
	}
	for i, w := range want {
		if step := (*StepError)(nil); !errors.As(errs[i], &step) || !errors.Is(errs[i], w) {
			t.Errorf("error %v, want %v", errs[i], w)
		}
	}
	seen, err := r.observe(plan.FilterTable)
	if got := seen[plan.FilterTable].Sets[plan.SetAddress6]; err != nil || !slices.Contains(got, "nb2 . fe80::3") || slices.Contains(got, "nb1 . fe80::1") {
		t.Errorf("seen %v, error %v", got, err)
	}
	if errs := r.apply([]plan.Step{plan.TableDel{Table: plan.FilterTable}, plan.TableDel{Table: plan.FilterTable}}); errs != nil {
		t.Errorf("delete the table: %v", errs)
	}
	if seen, err := r.observe(plan.FilterTable); len(seen) > 0 || err != nil {
		t.Errorf("seen without a table: %v, error %v", seen, err)
	}
}

// An address that moves to another port belongs to somebody all the time, whatever the order of the steps is.
func TestAddressMoves(t *testing.T) {
	t.Parallel()
	r := newRules(t, newNamespace(t))
	steps := exampleOf(plan.FilterTable)
	from := plan.ElementAdd{Table: plan.FilterTable, Set: plan.SetAddress6, Element: "nb00000000001 . 2001:db8::1"}
	to := from
	to.Element = "nb00000000002 . 2001:db8::1"
	if errs := errors.Join(append(r.apply(steps), r.apply([]plan.Step{to, plan.ElementDel(from)})...)...); errs != nil {
		t.Fatal(errs)
	}
	given, err := r.conn.GetSetElements(&nftables.Set{Table: &r.tables[plan.FilterTable].Table, Name: setGiven6})
	if err != nil || len(given) != 2 {
		t.Errorf("%d addresses are given, error %v", len(given), err)
	}
}

// Thousands of ports: several transactions, all of them seen again.
func TestManyElements(t *testing.T) {
	t.Parallel()
	r := newRules(t, newNamespace(t))
	if errs := r.apply(manyPorts(4000)); errs != nil {
		t.Fatal(errs)
	}
	seen, err := r.observe(plan.FilterTable)
	if err != nil {
		t.Fatal(err)
	}
	for set, elements := range seen[plan.FilterTable].Sets {
		if len(elements) != 4000 && len(elements) != 0 {
			t.Errorf("%s has %d elements", set, len(elements))
		}
	}
	if len(seen[plan.FilterTable].Sets[plan.SetAddress6]) != 4000 {
		t.Error("addresses are missing")
	}
}

// manyPorts returns the steps to a table with that many ports.
func manyPorts(n int) []plan.Step {
	steps := []plan.Step{plan.TableAdd{Table: plan.FilterTable}}
	for i := range n {
		steps = append(steps, portSteps(i)...)
	}
	return steps
}

func portSteps(i int) []plan.Step {
	var steps []plan.Step
	for set, element := range map[string]string{
		plan.SetMACs:      fmt.Sprintf("nb%011d . 02:16:3e:00:%02x:%02x", i, i>>8, i&255),
		plan.SetAddresses: fmt.Sprintf("nb%011d . 10.0.%d.%d", i, i>>8, i&255),
		plan.SetAddress6:  fmt.Sprintf("nb%011d . 2001:db8::%x", i, i),
	} {
		steps = append(steps, plan.ElementAdd{Table: plan.FilterTable, Set: set, Element: element})
	}
	return steps
}

// A table as most networks have it, one with thousands of ports, one port more there, and a look at it.
func BenchmarkRules(b *testing.B) {
	b.Run("table", func(b *testing.B) {
		r := newRules(b, newNamespace(b))
		for b.Loop() {
			mustApply(b, r, manyPorts(1))
		}
	})
	b.Run("table with 4000 ports", func(b *testing.B) {
		r := newRules(b, newNamespace(b))
		steps := manyPorts(4000)
		for b.Loop() {
			mustApply(b, r, steps)
		}
	})
	b.Run("one port more", func(b *testing.B) {
		r := newRules(b, newNamespace(b))
		mustApply(b, r, manyPorts(4000))
		more := portSteps(4000)
		var less []plan.Step
		for _, s := range more {
			less = append(less, plan.ElementDel(s.(plan.ElementAdd)))
		}
		for b.Loop() {
			mustApply(b, r, more)
			mustApply(b, r, less)
		}
	})
	for _, ports := range []int{1, 4000} {
		b.Run(fmt.Sprintf("observe %d ports", ports), func(b *testing.B) {
			r := newRules(b, newNamespace(b))
			mustApply(b, r, manyPorts(ports))
			for b.Loop() {
				if seen, err := r.observe(plan.FilterTable); len(seen) != 1 || err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func mustApply(b *testing.B, r *rules, steps []plan.Step) {
	b.Helper()
	if errs := r.apply(steps); errs != nil {
		b.Fatal(errs)
	}
}

// Elements are read as they are written.
func TestElements(t *testing.T) {
	t.Parallel()
	for name, sets := range examples() {
		for set, elements := range sets {
			for _, e := range elements {
				key := tables()[name].set(set).key
				b, err := key.encode(e)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := key.decode(b); got != e || err != nil {
					t.Errorf("%q became %q, error %v", e, got, err)
				}
			}
		}
	}
	for _, bad := range []string{
		"", "nb1", "nb1 . ", " . 10.0.0.1", "nb1 . 10.0.0.1 . x", "nb1 . 10.0.0.300", "nb1 . ::1", "a name . 10.0.0.1",
		"nb12345678901234 . 10.0.0.1", "n/b . 10.0.0.1", "nb\x00 . 10.0.0.1",
	} {
		if b, err := (elementType{partIfname, partIP}).encode(bad); !errors.Is(err, errElement) {
			t.Errorf("%q became % x, error %v", bad, b, err)
		}
	}
	for _, bad := range []string{"02:16:3e:00:00", "02:16:3e:00:00:00:00:01", "x"} {
		if b, err := (elementType{partEther}).encode(bad); !errors.Is(err, errElement) {
			t.Errorf("%q became % x, error %v", bad, b, err)
		}
	}
}

// Whatever bytes the kernel has for an element: their text means the same bytes again, or they are refused.
func FuzzElement(f *testing.F) {
	for name, sets := range examples() {
		for set, elements := range sets {
			b, err := tables()[name].set(set).key.encode(elements[0])
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	types := []elementType{{partIfname}, {partIP}, {partIP6}, {partIfname, partEther}, {partIfname, partIP}, {partIfname, partIP6}, {partIfname, partIfname}, {partIfname, partIfname, partEther, partEther}}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, key := range types {
			text, err := key.decode(b)
			if err != nil {
				continue
			}
			again, err := key.encode(text)
			if err != nil {
				t.Fatalf("% x became %q: %v", b, text, err)
			}
			if back, err := key.decode(again); back != text || err != nil {
				t.Errorf("%q became %q, error %v", text, back, err)
			}
		}
	})
}
