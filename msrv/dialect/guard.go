// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"

	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// Guard sees the requests of known instances at its site before the tree is looked up. It returns nil for
// those that are not its dialect's or that the tree may answer. It is called by any number of goroutines
// at a time, and never panics, whatever a guest sends.
type Guard func(*Request) *Answer

// Request is what a guest asks. Who asks was found out by the carrier; no header names an instance.
type Request struct {
	Instance *instance.Instance
	// Adapter is the instance's adapter in the network that the request came in on; nil for none.
	Adapter *instance.Adapter
	// Remote is where the connection comes from.
	Remote netip.AddrPort
	Method string
	// Path is as trees are looked up: no slash at either end, single ones between, escapes undone.
	Path   string
	Header http.Header
	// Body is what the guest sends; it is bounded by what the guard reads of it (see ReadBody).
	Body io.Reader
	// Reports are what the guest has said before.
	Reports Reports
	// Count counts something that is worth an operator's notice, by its name: "ec2_no_token".
	Count func(event string)
}

// ErrTooLarge says that a guest sends more than it may.
var ErrTooLarge = errors.New("body is too large")

// ReadBody reads what the guest sends: at most limit bytes, or ErrTooLarge.
func (r *Request) ReadBody(limit int) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(limit)+1))
	if err == nil && len(body) > limit {
		err = ErrTooLarge
	}
	return body, err
}

// Reports keeps what one instance has said, by subject, durably: what was put is there again after a crash.
// It stays for as long as the app is there in this version: another version is another instance, and has
// said nothing yet. Subjects are the dialects' own: "openstack-password".
type Reports interface {
	// Get returns what was said last; nil for nothing.
	Get(subject string) []byte
	// Put keeps a value and publishes it. An error is one of the disk or the bus, and changes nothing.
	Put(subject string, value []byte) error
	// PutFirst is Put, but ErrReported, and no change, where there is a value already.
	PutFirst(subject string, value []byte) error
}

// ErrReported says that the guest has said something before that stays.
var ErrReported = errors.New("reported before")

// Answer is what a guard answers in place of the tree.
type Answer struct {
	// Document is what is delivered as one of the tree's would be; the other fields then do not count. nil for
	// an answer by those.
	Document *document.Document
	// Handler answers in place of the other fields, for what is too large to be held in memory or is somebody else's to
	// say. It may take as long as it takes, while the guest reads on. nil for an answer by the other fields.
	Handler http.Handler

	Status int
	Type   string            // media type of Body; "" for plain text
	Header map[string]string // beside Content-Type
	Body   []byte            // not sent for HEAD
	// HopLimit is how many hops away, in IP's time to live, the answer may be received; 0 for any.
	HopLimit int
	// Err is why the service failed, for the log alone; nil where it did not.
	Err error
}

// Refuse is an answer with nothing but a status, in the words in which the carrier refuses too.
func Refuse(status int) *Answer {
	return &Answer{Status: status, Body: fmt.Appendf(nil, "%d %s\n", status, http.StatusText(status))}
}

// RefuseMethod is the answer to a method that a path does not have; allow lists those it has.
func RefuseMethod(allow string) *Answer {
	a := Refuse(http.StatusMethodNotAllowed)
	a.Header = map[string]string{"Allow": allow}
	return a
}
