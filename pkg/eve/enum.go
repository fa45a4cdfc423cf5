// SPDX-License-Identifier: Apache-2.0

package eve

import "fmt"

// integer is the set of types that EVE's enumerations are made of.
type integer interface {
	~int | ~int8 | ~int32 | ~uint8 | ~uint32
}

// enumName returns names[v-first], or "typ(v)" for a value without a name there.
func enumName[T integer](v T, typ string, first int64, names ...string) string {
	i := int64(v) - first
	if i < 0 || i >= int64(len(names)) || names[i] == "" {
		return fmt.Sprintf("%s(%d)", typ, int64(v))
	}
	return names[i]
}
