// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"slices"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// Node is the edge node as EVE's topics have it now. A method that returns false says that the topic has not told it, or
// not yet. All of them may be called from any goroutine, and what they return must not be changed.
type Node interface {
	Info() (eve.EdgeNodeInfo, bool)
	Ports() (eve.DeviceNetworkStatus, bool)
	NetworkMetrics() (eve.NetworkMetrics, bool)
	Location() (eve.WwanLocationInfo, bool)
	Modems() (eve.WwanStatus, bool)
	ModemMetrics() (eve.WwanMetrics, bool)
	// Network returns the state of an app network, App that of an app's adapters and Domain that of what it runs in, by the
	// UUID of the network instance or the app instance.
	Network(uuid string) (eve.NetworkInstanceStatus, bool)
	App(uuid string) (eve.AppNetworkStatus, bool)
	Domain(uuid string) (eve.DomainStatus, bool)
	// Apps returns the state of the adapters of all apps, by the app's UUID.
	Apps() iter.Seq2[string, eve.AppNetworkStatus]
}

// nodeRoutes are those about the node itself, which tell all guests the same.
func nodeRoutes(c Config) []route {
	routes := []route{get("eve/v1/diag", diagnosis(c.Root, cmp.Or(c.Diagnosis, DiagnosisPath)))}
	if c.Node == nil {
		return routes
	}
	return append(routes,
		get("eve/v1/location.json", told(c.Node.Location, newLocation)),
		get("eve/v1/wwan/status.json", told(c.Node.Modems, newModems)),
		get("eve/v1/wwan/metrics.json", told(c.Node.ModemMetrics, newModemMetrics)),
		get("eve/v1/networks/metrics.json", told(portMetrics(c.Node), newPortMetrics)),
	)
}

// told answers with what a topic says, in the words that guests know; 204 where it has not said anything (EVE, msrv).
func told[T, W any](topic func() (T, bool), word func(T) W) handler {
	return func(*dialect.Request, string) *dialect.Answer {
		value, ok := topic()
		if !ok {
			return empty(http.StatusNoContent)
		}
		return sayJSON(http.StatusOK, word(value))
	}
}

const (
	// DiagnosisPath is where EVE's diag writes what it shows on the node's console.
	DiagnosisPath = "/run/diag.out"
	// maxDiag is how much of it EVE tells a guest, in bytes.
	maxDiag = 65535
)

// diagnosis answers with the file; 404 where there is none, and 500 for one that is larger than maxDiag, of which a part
// would mislead.
func diagnosis(root, path string) handler {
	return func(*dialect.Request, string) *dialect.Answer {
		text, err := readFile(root, path, maxDiag)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return dialect.Refuse(http.StatusNotFound)
		case err != nil:
			return failed(fmt.Errorf("read diagnosis: %w", err))
		}
		return &dialect.Answer{Document: document.New(document.TypeText, text)}
	}
}

// readFile reads a file of the node of at most limit bytes.
func readFile(root, path string, limit int64) ([]byte, error) {
	f, err := OpenFile(root, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(content)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return content, err
}

// portMetric is the traffic of one of the node's network ports, in EVE's words for guests.
type portMetric struct {
	IfName              string
	Up                  bool
	TxBytes             uint64
	RxBytes             uint64
	TxDrops             uint64
	RxDrops             uint64
	TxPkts              uint64
	RxPkts              uint64
	TxErrors            uint64
	RxErrors            uint64
	TxACLDrops          uint64
	RxACLDrops          uint64
	TxACLRateLimitDrops uint64
	RxACLRateLimitDrops uint64
}

// measured are the node's network ports and the traffic of all its network interfaces.
type measured struct {
	ports   []eve.NetworkPortStatus
	metrics []eve.NetworkMetric
}

// portMetrics tells both, once both are told.
func portMetrics(node Node) func() (measured, bool) {
	return func() (measured, bool) {
		status, ok := node.Ports()
		metrics, ok2 := node.NetworkMetrics()
		return measured{status.Ports, metrics.MetricList}, ok && ok2
	}
}

// newPortMetrics are the metrics of those interfaces that are ports, in the ports' order. Bridges and guests' interfaces are
// none.
func newPortMetrics(m measured) []portMetric {
	list := []portMetric{}
	for i := range m.ports {
		p := &m.ports[i]
		at := slices.IndexFunc(m.metrics, func(m eve.NetworkMetric) bool { return m.IfName == p.IfName })
		if p.IfName == "" || at < 0 {
			continue
		}
		t := &m.metrics[at]
		list = append(list, portMetric{
			IfName: p.IfName, Up: p.Up,
			TxBytes: t.TxBytes, RxBytes: t.RxBytes, TxDrops: t.TxDrops, RxDrops: t.RxDrops,
			TxPkts: t.TxPkts, RxPkts: t.RxPkts, TxErrors: t.TxErrors, RxErrors: t.RxErrors,
			TxACLDrops: t.TxAclDrops, RxACLDrops: t.RxAclDrops,
			TxACLRateLimitDrops: t.TxAclRateLimitDrops, RxACLRateLimitDrops: t.RxAclRateLimitDrops,
		})
	}
	return list
}
