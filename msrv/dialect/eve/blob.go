// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// blobPath is where apps' blobs are, by name.
const blobPath = "eve/app-custom-blobs"

// appCustom is the type of a disk that is none, but a blob that the app is to fetch (EVE, msrv).
const appCustom = "AppCustom"

// appBlob is a blob of an app: what the controller says about it, and where to fetch it.
type appBlob struct {
	CustomMeta  string
	DownloadURL string
}

// appBlobs are the blobs of the caller's app; empty where it is not known (yet) what there is.
func appBlobs(node Node, r *dialect.Request) []appBlob {
	list := []appBlob{}
	domain, _ := node.Domain(r.Instance.UUID)
	for i := range domain.DiskStatusList {
		if d := &domain.DiskStatusList[i]; d.Devtype == appCustom {
			list = append(list, appBlob{CustomMeta: d.CustomMeta, DownloadURL: urlOf(r, blobPath, d.DisplayName)})
		}
	}
	return list
}

func blobRoutes(c Config) []route {
	if c.Node == nil {
		return nil
	}
	return []route{getBelow(blobPath, blobOf(c.Node, c.Root))}
}

// blobOf delivers the blob of a name, of the caller's app: a file, or a volume's device with all its bytes, since no topic
// says how many of them are the blob.
func blobOf(node Node, root string) handler {
	return func(r *dialect.Request, name string) *dialect.Answer {
		domain, _ := node.Domain(r.Instance.UUID)
		at := slices.IndexFunc(domain.DiskStatusList, func(d eve.DiskStatus) bool {
			return d.Devtype == appCustom && d.DisplayName == name
		})
		if at < 0 {
			return dialect.Refuse(http.StatusNotFound)
		}
		path := domain.DiskStatusList[at].FileLocation
		return stream(func(w http.ResponseWriter, req *http.Request) error {
			f, err := OpenFile(root, path)
			if err != nil {
				return fmt.Errorf("blob %q: %w", name, err)
			}
			defer f.Close()
			f.first(f.Size).deliver(w, req)
			return nil
		})
	}
}

// urlOf is where the caller fetches what has a path and a name. A caller of IPv6 is told the address that EC2's guests know,
// which is on every network; the link-local one would need the guest's own interface in it.
func urlOf(r *dialect.Request, path, name string) string {
	host := "169.254.169.254"
	if r.Remote.Addr().Is6() {
		host = "[fd00:ec2::254]"
	}
	return "http://" + host + "/" + path + "/" + url.PathEscape(name)
}

// getBelow is a route that has all below its path to be read.
func getBelow(path string, h handler) route {
	r := get(path, h)
	r.below = true
	return r
}

// stream is an answer that is written while it is sent. An error goes to the log, and the guest is told of it if nothing was
// written yet.
func stream(write func(http.ResponseWriter, *http.Request) error) *dialect.Answer {
	a := &dialect.Answer{}
	a.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.Err = write(w, r) })
	return a
}
