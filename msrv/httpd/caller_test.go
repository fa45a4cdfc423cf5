// SPDX-License-Identifier: Apache-2.0

package httpd_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/httpd"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/msrv/store"
)

// mac is the n-th MAC address of the tests; the 0th is that of a caller whose MAC address is not known.
func mac(n byte) store.MAC {
	if n == 0 {
		return store.MAC{}
	}
	return store.MAC{2, 0x16, 0x3e, 0, 0, n}
}

// card is an adapter in a network, with what is known of it.
func card(name, network string, hardware byte, port string, addresses ...string) instance.Adapter {
	a := instance.Adapter{Name: name, Network: network, Port: port}
	if m := mac(hardware); hardware != 0 {
		a.MAC = m[:]
	}
	for _, text := range addresses {
		if p := netip.MustParsePrefix(text); p.Addr().Is4() {
			a.IPv4.Address = p
		} else {
			a.IPv6.Address = p
		}
	}
	return a
}

// guestOf is an instance with its keys, as the intake has them.
func guestOf(uuid string, cards ...instance.Adapter) *store.Entry {
	e := &store.Entry{Instance: &instance.Instance{UUID: uuid, Adapters: cards}, HTTP: atMetadata(tree())}
	for _, a := range cards {
		e.Keys = append(e.Keys, store.Key{Network: a.Network})
		if a.MAC != nil {
			e.Keys = append(e.Keys, store.Key{Network: a.Network, MAC: store.MAC(a.MAC)})
		}
		for _, p := range []netip.Prefix{a.IPv4.Address, a.IPv6.Address} {
			if p.IsValid() {
				e.Keys = append(e.Keys, store.Key{Network: a.Network, Address: p.Addr()})
			}
		}
	}
	return e
}

// ports is a bridge "bn1" with guests behind its ports, by MAC address.
type ports map[string]string

func (p ports) Port(bridge string, hardware net.HardwareAddr) (string, error) {
	if port := p[hardware.String()]; bridge == "bn1" && port != "" {
		return port, nil
	}
	return "", errors.New("not heard")
}

// TestCaller is the rule by which callers are known. In blue there are u-1 with two adapters and u-2 with one; u-3, whose
// addresses are not known; u-4 and u-5, which dispute an address and a MAC address; u-6, of whose adapter nobody knows
// the MAC address; and u-8, which may be on either of two ports. In green there is u-7 alone.
func TestCaller(t *testing.T) {
	t.Parallel()
	s := store.New()
	emulated := card("eth0", "blue", 7, "nb8", "10.0.0.79/24")
	emulated.OtherPort = "nb8-emu"
	for _, e := range []*store.Entry{
		guestOf("u-1", card("front", "blue", 1, "nb1", "10.0.0.1/24", "fd00::1/64"), card("back", "blue", 2, "nb2", "10.0.0.2/24"),
			card("aside", "red", 1, "nb9", "10.0.0.9/24")),
		guestOf("u-2", card("eth0", "blue", 3, "nb3", "10.0.0.3/24")),
		guestOf("u-3", card("eth0", "blue", 4, "")),
		guestOf("u-4", card("eth0", "blue", 5, "", "10.0.0.5/24"), card("eth1", "blue", 8, "", "10.0.0.8/24")),
		guestOf("u-5", card("eth0", "blue", 6, "", "10.0.0.5/24"), card("eth1", "blue", 8, "")),
		guestOf("u-6", card("eth0", "blue", 0, "", "10.0.0.6/24")),
		guestOf("u-7", card("eth0", "green", 0, "")),
		guestOf("u-8", emulated),
	} {
		s.Put(e)
	}
	onBridge := ports{
		mac(1).String(): "nb1", mac(2).String(): "nb2", mac(3).String(): "nb1", mac(4).String(): "nb7", mac(7).String(): "nb8-emu",
	}
	for _, tt := range []struct {
		name    string
		network string // "": blue
		alone   bool
		bridge  string
		address string
		mac     byte // 0: not known
		want    string
	}{
		{name: "its address, MAC address not known", address: "10.0.0.1", want: "u-1 on front"},
		{name: "its address and its MAC address", address: "10.0.0.2", mac: 2, want: "u-1 on back"},
		{name: "its address of IPv6", address: "fd00::1", mac: 1, want: "u-1 on front"},
		{name: "its address, MAC address of its other adapter", address: "10.0.0.2", mac: 1, want: "nobody: mac"},
		{name: "another's address", address: "10.0.0.1", mac: 3, want: "nobody: mac"},
		{name: "another's address of IPv6", address: "fd00::1", mac: 3, want: "nobody: mac"},
		{name: "another's address, MAC address of nobody", address: "10.0.0.1", mac: 99, want: "nobody: mac"},
		{name: "its address in another network", address: "10.0.0.9", want: "nobody"},
		{name: "an adapter in another network does not count", network: "red", address: "10.0.0.9", mac: 2, want: "nobody: mac"},
		{name: "an address of nobody's, MAC address of one", address: "10.0.0.77", mac: 3, want: "u-2 on eth0"},
		{name: "a link-local address", address: "fe80::16:3eff:fe00:2", mac: 2, want: "u-1 on back"},
		{name: "its lease is not known yet", address: "10.0.0.78", mac: 4, want: "u-3 on eth0"},
		{name: "an address of nobody's, MAC address not known", address: "10.0.0.77", want: "nobody"},
		{name: "a stranger", address: "10.0.0.77", mac: 99, want: "nobody"},
		{name: "a MAC address in another network", network: "green", address: "10.0.0.77", mac: 3, want: "nobody"},
		{name: "a disputed address", address: "10.0.0.5", want: "nobody"},
		{name: "a disputed address, MAC address of one that claims it", address: "10.0.0.5", mac: 5, want: "nobody"},
		{name: "a disputed address, MAC address of one that does not", address: "10.0.0.5", mac: 3, want: "nobody"},
		{name: "a disputed MAC address", address: "10.0.0.77", mac: 8, want: "nobody"},
		{name: "a disputed MAC address, address of one that has it", address: "10.0.0.8", mac: 8, want: "u-4 on eth1"},
		{name: "the MAC address of its adapter is not known", address: "10.0.0.6", mac: 9, want: "u-6 on eth0"},

		{name: "alone", network: "green", alone: true, address: "10.0.0.77", want: "u-7 on eth0"},
		{name: "alone, with any MAC address", network: "green", alone: true, address: "fe80::1", mac: 3, want: "u-7 on eth0"},
		{name: "alone, and there are several: by address", alone: true, address: "10.0.0.3", want: "u-2 on eth0"},
		{name: "alone, and there are several: by nothing else", alone: true, address: "10.0.0.77", mac: 3, want: "nobody"},
		{name: "alone, and there is none", network: "black", alone: true, address: "10.0.0.3", want: "nobody"},

		{name: "on its port", bridge: "bn1", address: "10.0.0.1", mac: 1, want: "u-1 on front"},
		{name: "on its port, over a link-local address", bridge: "bn1", address: "fe80::1", mac: 2, want: "u-1 on back"},
		{name: "its address and MAC address from another's port", bridge: "bn1", address: "10.0.0.3", mac: 3, want: "nobody: port"},
		{name: "its MAC address from another's port", bridge: "bn1", address: "10.0.0.77", mac: 3, want: "nobody: port"},
		{name: "MAC address not known", bridge: "bn1", address: "10.0.0.1", want: "nobody: port"},
		{name: "on its other port", bridge: "bn1", address: "10.0.0.79", mac: 7, want: "u-8 on eth0"},
		{name: "its port is not known", bridge: "bn1", address: "10.0.0.78", mac: 4, want: "u-3 on eth0"},
		{name: "a bridge that is not there", bridge: "bn2", address: "10.0.0.1", mac: 1, want: "nobody: port"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			log, hook := logtest.NewNullLogger()
			registry := prometheus.NewRegistry()
			metrics, err := httpd.NewMetrics(registry)
			if err != nil {
				t.Fatal(err)
			}
			h := &httpd.Handler{
				Network: "blue", Alone: tt.alone, Ports: tt.bridge, Bridges: onBridge, Store: s, Log: log, Metrics: metrics,
				Services: services(whose),
			}
			if tt.network != "" {
				h.Network = tt.network
			}
			got := ask(h, httpd.From(httptest.NewRequest("GET", "/whose", nil), tt.address, mac(tt.mac)))
			if reason := refused(t, registry); reason != "" {
				got += ": " + reason
			}
			if got != tt.want {
				t.Errorf("is %q, want %q", got, tt.want)
			}
			if n := len(hook.AllEntries()); n != 1 {
				t.Errorf("%d lines in the log, want 1", n)
			}
		})
	}
}

// whose is a guard that says who asks.
func whose(r *dialect.Request) *dialect.Answer {
	if r.Path != "whose" {
		return nil
	}
	text := r.Instance.UUID
	if r.Adapter != nil {
		text += " on " + r.Adapter.Name
	}
	return &dialect.Answer{Status: http.StatusOK, Body: []byte(text)}
}

// ask returns what the handler answers, "nobody" for 404.
func ask(h http.Handler, r *http.Request) string {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code == http.StatusNotFound {
		return "nobody"
	}
	return w.Body.String()
}

// refused is for which reason the metrics say that one request was refused; "" for none.
func refused(t *testing.T, registry *prometheus.Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, reason := range []string{"mac", "port"} {
		if strings.Contains(w.Body.String(), `reason="`+reason+`"} 1`) {
			return reason
		}
	}
	return ""
}

// Nothing that a caller says makes it another.
func TestNothingSaidCounts(t *testing.T) {
	t.Parallel()
	s := store.New()
	s.Put(guestOf("u-1", card("eth0", "blue", 1, "", "10.0.0.1/24")))
	s.Put(guestOf("u-2", card("eth0", "blue", 2, "", "10.0.0.2/24")))
	log, _ := logtest.NewNullLogger()
	h := &httpd.Handler{Network: "blue", Store: s, Log: log, Services: services(whose)}
	said := map[string]func(*http.Request){
		"Host":          func(r *http.Request) { r.Host = "10.0.0.1" },
		"absolute form": func(r *http.Request) { r.URL.Scheme, r.URL.Host = "http", "u-1@10.0.0.1:80" },
		"query":         func(r *http.Request) { r.URL.RawQuery = "instance-id=u-1&ip=10.0.0.1" },
	}
	for name, value := range map[string]string{
		"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Host": "10.0.0.1", "X-Real-IP": "10.0.0.1", "Forwarded": "for=10.0.0.1;host=10.0.0.1",
		"Client-IP": "10.0.0.1", "True-Client-IP": "10.0.0.1", "Via": "1.1 10.0.0.1", "X-Instance-ID": "u-1", "X-Tenant-ID": "u-1",
		"X-Instance-ID-Signature": "0", "Authorization": "Basic dS0xOg==", "Cookie": "instance=u-1",
	} {
		said[name] = func(r *http.Request) { r.Header.Set(name, value) }
	}
	for name, say := range said {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, from := range []struct {
				address string
				mac     byte
				want    string
			}{{"10.0.0.2", 2, "u-2 on eth0"}, {"10.0.0.77", 99, "nobody"}, {"10.0.0.1", 2, "nobody"}} {
				r := httpd.From(httptest.NewRequest("GET", "/whose", nil), from.address, mac(from.mac))
				say(r)
				if got := ask(h, r); got != from.want {
					t.Errorf("%s is %q, want %q", from.address, got, from.want)
				}
			}
		})
	}
}

// A connection that stays open is not its old owner's any more when the address is another's, and is answered again when
// its owner has the address back. The new owner of an address may be quicker than the news of it.
func TestAddressChangesOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := store.New()
		log, _ := logtest.NewNullLogger()
		h := &httpd.Handler{Network: "blue", Store: s, Log: log, Grace: time.Second, Services: services(whose)}
		asks := func(owner byte) string {
			return ask(h, httpd.From(httptest.NewRequest("GET", "/whose", nil), "10.0.0.1", mac(owner)))
		}
		want := func(what, got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("%s is %q, want %q", what, got, want)
			}
		}
		first, second := guestOf("u-1", card("eth0", "blue", 1, "", "10.0.0.1/24")), guestOf("u-2", card("eth0", "blue", 2, "", "10.0.0.1/24"))
		s.Put(first)
		want("the owner", asks(1), "u-1 on eth0")
		want("who is not the owner yet", asks(2), "nobody")
		start := time.Now()
		time.AfterFunc(300*time.Millisecond, func() {
			s.Remove("u-1")
			s.Put(second)
		})
		want("the new owner", asks(2), "u-2 on eth0")
		if waited := time.Since(start); waited != 300*time.Millisecond {
			t.Errorf("the new owner waited for %v", waited)
		}
		want("the old owner", asks(1), "nobody")
		s.Remove("u-2")
		s.Put(first)
		want("the owner again", asks(1), "u-1 on eth0")
	})
}

// Who goes on with another's address is counted, and does not fill the log.
func TestBorrowersInLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := store.New()
		s.Put(guestOf("u-1", card("eth0", "blue", 1, "", "10.0.0.1/24")))
		log, hook := logtest.NewNullLogger()
		registry := prometheus.NewRegistry()
		metrics, err := httpd.NewMetrics(registry)
		if err != nil {
			t.Fatal(err)
		}
		h := &httpd.Handler{Network: "blue", Store: s, Log: log, Limits: httpd.NewLimits(), Metrics: metrics}
		for range 3 {
			hook.Reset()
			for range 50 {
				if got := ask(h, httpd.From(httptest.NewRequest("GET", "/latest/user-data", nil), "10.0.0.1", mac(2))); got != "nobody" {
					t.Fatalf("answered %q", got)
				}
			}
			lines := hook.AllEntries()
			if len(lines) != 1 || lines[0].Level != logrus.WarnLevel {
				t.Errorf("%d lines in the log in a second, want a warning", len(lines))
			}
			<-time.After(httpd.RefusalInterval) // of the bubble's clock
		}
		w := httptest.NewRecorder()
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		_, got, _ := strings.Cut(w.Body.String(), "eve_metadata_refused_total{")
		got, _, _ = strings.Cut(got, "\n")
		if diff := cmp.Diff(`network="blue",reason="mac"} 150`, got); diff != "" {
			t.Errorf("metrics (-want +got):\n%s", diff)
		}
	})
}

// ipv4 and ipv6 are saved SYNs of a guest, as far as they are looked at.
const (
	ipv4 = "\xee\x02\x03\x04\x05\x06\x02\x16\x3e\x00\x00\x01\x08\x00\x45\x00\x00\x3c"
	ipv6 = "\xee\x02\x03\x04\x05\x06\x02\x16\x3e\x00\x00\x01\x86\xdd\x60\x00\x00\x00"
)

func TestSourceMAC(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, syn string
		want      store.MAC
	}{
		{"IPv4", ipv4, mac(1)},
		{"IPv6", ipv6, mac(1)},
		{"on the loopback interface", strings.Repeat("\x00", 12) + ipv4[12:], store.MAC{}},
		{"none", "", store.MAC{}},
		{"without an Ethernet header", ipv4[14:] + ipv4, store.MAC{}},
		{"the header alone", ipv4[:14], store.MAC{}},
		{"of another type", ipv4[:12] + "\x08\x06" + ipv4[14:], store.MAC{}},
		{"IPv4 behind the type of IPv6", ipv6[:14] + ipv4[14:], store.MAC{}},
		{"IPv6 behind the type of IPv4", ipv4[:14] + ipv6[14:], store.MAC{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := httpd.SourceMAC([]byte(tt.syn)); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// Whatever the kernel gives, it is the bytes at the sender's place or none.
func FuzzSourceMAC(f *testing.F) {
	for _, seed := range []string{"", ipv4, ipv6, ipv4[:14], ipv6[14:]} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, syn []byte) {
		got := httpd.SourceMAC(syn)
		if got != (store.MAC{}) && got != store.MAC(syn[6:12]) {
			t.Errorf("%v out of %x", got, syn)
		}
	})
}
