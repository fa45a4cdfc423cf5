// SPDX-License-Identifier: Apache-2.0

package eve

import "github.com/google/uuid"

// UUIDandVersion identifies an object of the controller's configuration. It is a field of its own in the topics of app
// instances, and embedded in those of network instances.
type UUIDandVersion struct {
	UUID    uuid.UUID
	Version string // counted up by the controller with every change
}
