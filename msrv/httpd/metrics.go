// SPDX-License-Identifier: Apache-2.0

package httpd

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
)

// Metrics count what guests ask, for the operator: no guest can read them. nil counts nothing.
type Metrics struct {
	requests *prometheus.CounterVec
	events   *prometheus.CounterVec
	refused  *prometheus.CounterVec
}

// NewMetrics makes the counters and registers them:
//
//	eve_metadata_requests_total{site,code}      answered requests
//	eve_metadata_events_total{network,event}    what dialects' guards found worth a count
//	eve_metadata_refused_total{network,reason}  requests from another's address: "mac" for one with a MAC address
//	                                            that is not its owner's, "port" for one from another port
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eve_metadata_requests_total", Help: "Requests of guests that were answered.",
		}, []string{"site", "code"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eve_metadata_events_total", Help: "Requests of guests that an operator may want to know of.",
		}, []string{"network", "event"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eve_metadata_refused_total", Help: "Requests of guests that bear the address of another.",
		}, []string{"network", "reason"}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.events, m.refused} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) request(site dialect.Site, status int) {
	if m != nil {
		m.requests.WithLabelValues(site.String(), strconv.Itoa(status)).Inc()
	}
}

func (m *Metrics) event(network, event string) {
	if m != nil {
		m.events.WithLabelValues(network, event).Inc()
	}
}

func (m *Metrics) refuse(network, reason string) {
	if m != nil {
		m.refused.WithLabelValues(network, reason).Inc()
	}
}

// forget drops the counters of a network that is gone.
func (m *Metrics) forget(network string) {
	if m != nil {
		m.events.DeletePartialMatch(prometheus.Labels{"network": network})
		m.refused.DeletePartialMatch(prometheus.Labels{"network": network})
	}
}
