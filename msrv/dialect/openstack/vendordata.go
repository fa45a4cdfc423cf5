// SPDX-License-Identifier: Apache-2.0

package openstack

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// vendorData makes vendor_data.json or vendor_data2.json; nil where there is none. Both have to be JSON:
// an empty body or a null loses a guest all its metadata (cloud-init, sources/helpers/openstack.py).
// A JSON object, list or string is delivered as it is. Any other text, such as a #cloud-config, becomes
// the value of "cloud-init", the one key of an object that cloud-init acts on. Bytes that are no text
// fit into no JSON: the document is then faulty.
func vendorData(data instance.Opaque) (*document.Node, error) {
	switch {
	case data == nil:
		return nil, nil
	case !utf8.Valid(data):
		return document.File(document.Faulty("vendor data is neither JSON nor text in UTF-8")), nil
	case isJSON(data):
		return document.File(document.New(document.TypeJSON, data)), nil
	}
	doc, err := document.JSON(map[string]string{"cloud-init": string(data)})
	if err != nil {
		return nil, err
	}
	return document.File(doc), nil
}

// isJSON tells whether a text is a JSON object, list or string. Numbers, true, false and null are not
// vendor data for any client.
func isJSON(text []byte) bool {
	start := bytes.TrimLeft(text, " \t\r\n")
	return len(start) > 0 && bytes.IndexByte([]byte(`{["`), start[0]) >= 0 && json.Valid(text)
}
