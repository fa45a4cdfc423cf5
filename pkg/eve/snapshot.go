// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"time"

	"github.com/google/uuid"
)

// SnapshotType says what makes EVE take a snapshot of an app instance's volumes (EVE API, config.SnapshotType).
type SnapshotType int32

// Values of SnapshotType.
const (
	SnapshotTypeUnspecified SnapshotType = iota
	SnapshotTypeAppUpdate
	SnapshotTypeImmediate
)

// String returns the value's name.
func (t SnapshotType) String() string {
	return enumName(t, "SnapshotType", 0, "SnapshotTypeUnspecified", "SnapshotTypeAppUpdate", "SnapshotTypeImmediate")
}

// SnapshotDesc describes one snapshot.
type SnapshotDesc struct {
	SnapshotID   string
	SnapshotType SnapshotType
}

// SnapshotConfig is what the controller wants to be done about snapshots.
type SnapshotConfig struct {
	ActiveSnapshot string
	MaxSnapshots   uint32
	RollbackCmd    AppInstanceOpsCmd
	Snapshots      []SnapshotDesc // those that the controller knows
}

// SnapshotInstanceStatus is one snapshot as it is.
type SnapshotInstanceStatus struct {
	Snapshot      SnapshotDesc
	Reported      bool // to the controller
	TimeTriggered time.Time
	TimeCreated   time.Time
	AppInstanceID uuid.UUID
	ConfigVersion UUIDandVersion // of the app instance when the snapshot was taken
	Error         ErrorDescription
}

// VolumesSnapshotAction is what volumemgr is to do about a snapshot.
type VolumesSnapshotAction uint8

// Values of VolumesSnapshotAction.
const (
	VolumesSnapshotUnspecifiedAction VolumesSnapshotAction = iota
	VolumesSnapshotCreate
	VolumesSnapshotRollback
	VolumesSnapshotDelete
)

// String returns the value's name.
func (a VolumesSnapshotAction) String() string {
	return enumName(a, "VolumesSnapshotAction", 0, "Unspecified", "Create", "Rollback", "Delete")
}

// VolumesSnapshotConfig asks volumemgr for something about a snapshot.
type VolumesSnapshotConfig struct {
	SnapshotID string
	Action     VolumesSnapshotAction
	VolumeIDs  []uuid.UUID
	AppUUID    uuid.UUID
}

// SnapshotWhen says when a snapshot is taken. It is only passed on, hence no names.
type SnapshotWhen uint8

// String returns the value's number with its type.
func (w SnapshotWhen) String() string { return enumName(w, "SnapshotWhen", 0) }

// SnapshottingStatus is all about an app instance's snapshots.
type SnapshottingStatus struct {
	MaxSnapshots                   uint32
	RequestedSnapshots             []SnapshotInstanceStatus
	AvailableSnapshots             []SnapshotInstanceStatus
	SnapshotsToBeDeleted           []SnapshotDesc
	PreparedVolumesSnapshotConfigs []VolumesSnapshotConfig
	SnapshotTakenType              SnapshotWhen
	HasRollbackRequest             bool
	ActiveSnapshot                 string
	RollbackInProgress             bool
}
