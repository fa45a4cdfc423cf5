// SPDX-License-Identifier: Apache-2.0

package confine

// InMap says whether an id is in a user namespace's map.
func InMap(content string, id int) bool { return inMap(content, id) }
