// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"bytes"
	"errors"
	"mime"
	"net/http"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
)

// Subjects of what guests report for the controller. It is passed on as it came.
const (
	SubjectKubeconfig   = "eve-kubeconfig"
	SubjectCustomStatus = "eve-custom-status"
)

const (
	// maxReport is how much a guest may report for the controller, in bytes (EVE, msrv).
	maxReport = 32768
	// reportRate and reportBurst are how often a guest may report something else than before. It is written to the node's
	// disk each time, most often flash, which wears out; and the controller is told each time.
	reportRate  = 0.1
	reportBurst = 20
)

// appRoutes are those about the guest that asks, and about the other guests.
func appRoutes(c Config) []route {
	news := newLimits(reportRate, reportBurst)
	routes := []route{
		get("eve/v1/hostname", hostname),
		post("eve/v1/kubeconfig", report(SubjectKubeconfig, news)),
		post("eve/v1/app/appCustomStatus", report(SubjectCustomStatus, news)),
	}
	if c.Node == nil {
		return routes
	}
	g := guests{c.Node, c.Elsewhere}
	return append(routes,
		get("eve/v1/network.json", g.network),
		get("eve/v1/external_ipv4", g.externalIPv4),
		get("eve/v1/discover-network.json", g.discover),
		get("eve/v1/app/info.json", g.info),
	)
}

// hostname answers with what EVE calls a guest: the app's UUID.
func hostname(r *dialect.Request, _ string) *dialect.Answer {
	return &dialect.Answer{Document: document.Text(r.Instance.UUID + "\n")}
}

// report takes what a guest posts as JSON, whether it is any or not: a kubeconfig is YAML to its readers. What was said before
// may be said again at any time.
func report(subject string, news *limits) handler {
	return func(r *dialect.Request, _ string) *dialect.Answer {
		// What is wrong with the header's parameters is no matter.
		if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != document.TypeJSON {
			return dialect.Refuse(http.StatusUnsupportedMediaType)
		}
		body, err := r.ReadBody(maxReport)
		switch {
		case errors.Is(err, dialect.ErrTooLarge):
			return dialect.Refuse(http.StatusRequestEntityTooLarge)
		case err != nil: // the guest stopped in the middle of it
			return dialect.Refuse(http.StatusBadRequest)
		}
		if said := r.Reports.Get(subject); said != nil && bytes.Equal(said, body) {
			return empty(http.StatusOK)
		}
		if a := news.refuse(r); a != nil {
			return a
		}
		if err := r.Reports.Put(subject, body); err != nil {
			return failed(err)
		}
		return empty(http.StatusOK)
	}
}

// appInfo is what there is for an app to fetch.
type appInfo struct {
	AppBlobs []appBlob
}

// info answers with the blobs of the guest's app.
func (g guests) info(r *dialect.Request, _ string) *dialect.Answer {
	return sayJSON(http.StatusOK, appInfo{AppBlobs: appBlobs(g.node, r)})
}
