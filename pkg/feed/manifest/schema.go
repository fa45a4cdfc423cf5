// SPDX-License-Identifier: Apache-2.0

package manifest

import _ "embed"

//go:embed schema.json
var schema string

// Schema returns the JSON Schema (draft 2020-12) of a manifest, for editors and other programs. What it refuses, Load
// refuses too; Load also knows what only makes sense, or not, together with other fields and files.
func Schema() []byte { return []byte(schema) }
