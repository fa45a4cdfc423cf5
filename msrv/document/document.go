// SPDX-License-Identifier: Apache-2.0

// Package document holds what a dialect renders and a carrier delivers: Documents in a tree of Nodes.
//
// A dialect builds a tree once per change of an instance; carriers look documents up by path (httpd) or
// take every file (drive). Trees are immutable after they are built, and subtrees are shared freely:
// ten versions of one cloud's tree may hang off the same nodes.
package document

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// Media types that more than one dialect uses.
const (
	TypeText  = "text/plain; charset=utf-8"
	TypeJSON  = "application/json"
	TypeYAML  = "text/yaml; charset=utf-8"
	TypeBytes = "application/octet-stream"
)

// Document is the content behind one path: bytes with a media type, or the reason why there should be
// content but is none.
type Document struct {
	mediaType string
	body      []byte
	etag      string
	fault     string
}

// New makes a document of a media type (RFC 9110, Content-Type) and its bytes, which belong to the
// document from then on.
func New(mediaType string, body []byte) *Document {
	sum := sha256.Sum256(body)
	return &Document{
		mediaType: mediaType,
		body:      body,
		etag:      `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`,
	}
}

// Text makes a plain text document.
func Text(body string) *Document { return New(TypeText, []byte(body)) }

// JSON makes a JSON document of a value: HTML characters as they are, no final line break.
func JSON(v any) (*Document, error) {
	body, err := Marshal(v)
	if err != nil {
		return nil, err
	}
	return New(TypeJSON, body), nil
}

// Faulty makes a document that cannot be delivered: a carrier answers with an error instead of
// content. The reason is for the operator's log; a guest does not get to see it.
func Faulty(reason string) *Document { return &Document{fault: reason} }

// Type is the media type.
func (d *Document) Type() string { return d.mediaType }

// Body is the content. It is shared by all who ask: callers only read it.
func (d *Document) Body() []byte { return d.body }

// ETag is a strong entity tag of the content, quotes included (RFC 9110 section 8.8.3).
func (d *Document) ETag() string { return d.etag }

// Fault is why the document cannot be delivered; "" for one that can.
func (d *Document) Fault() string { return d.fault }

// Marshal is JSON as documents spell it: as encoding/json, but with '<',
// '>' and '&' left as they are and no final line break.
func Marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("marshal document: %w", err)
	}
	// A copy has no room to grow, which nobody needs: documents are kept for long.
	return bytes.Clone(bytes.TrimSuffix(buf.Bytes(), []byte("\n"))), nil
}
