// SPDX-License-Identifier: Apache-2.0

// Package examples holds the manifests that the service runs with when it is given no others: two app networks with the
// same subnet, and three apps, two of which have the same address. They are meant to be read and copied.
// What comes in: nothing; what goes out: the files, through FS. The command and its tests read it.
package examples

import "embed"

// FS holds the manifests at its root. It is not changed after the program was built.
//
//go:embed *.yaml
var FS embed.FS
