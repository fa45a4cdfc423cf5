// SPDX-License-Identifier: Apache-2.0

// Package eve is EVE's own dialect: the interface that a guest has to the edge node, below /eve/v1 and at /metrics of the
// metadata address, with EVE's paths, bodies and codes. README.md lists them, and where they are better than EVE's.
//
// Unlike other dialects' trees, nearly all of it is about the node and changes without the instance. So a guard answers,
// out of a Config; and because it is EVE's topics in other words, it is the one dialect that knows their types. What it
// answers is the caller's own, or is meant for every guest of the node; who the caller is, is the carrier's business.
package eve

import (
	"github.com/lf-edge/eve-metadata/msrv/dialect"
)

// Config is what the dialect speaks of. What is nil is not known, and is not there for guests.
type Config struct {
	Node     Node
	Keys     Keys
	Patches  Patches
	Exporter *Exporter
	// Root prefixes the paths of files that EVE's topics name.
	Root string
	// Diagnosis is the path, below Root, of what the node shows on its console; "" for DiagnosisPath.
	Diagnosis string
	// Elsewhere says that the node is no EVE device. Nobody tells of its ports there, so that it is no answer that it has no
	// address on them.
	Elsewhere bool
}

// Dialect returns the dialect. Instances may ask it whatever else they read (EVE asks for no MetaDataType here).
func Dialect(c Config) dialect.Dialect {
	return dialect.Dialect{
		Name: "eve",
		HTTP: []dialect.Service{{Site: dialect.Metadata, Guard: newRouter(c).answer, Always: true}},
	}
}
