// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"time"

	"github.com/google/uuid"
)

// VolumeRefStatus is a volume as attached to an app instance.
type VolumeRefStatus struct {
	VolumeID               uuid.UUID
	GenerationCounter      int64
	LocalGenerationCounter int64
	AppUUID                uuid.UUID
	State                  SwState
	ActiveFileLocation     string
	ContentFormat          Format
	ReadOnly               bool
	DisplayName            string
	MaxVolSize             uint64 // bytes
	PendingAdd             bool
	WWN                    string
	VerifyOnly             bool
	Target                 Target
	CustomMeta             string
	ReferenceName          string
	ErrorAndTimeWithSource
}

// AppInstanceStatus is an app instance as it is. Topic of zedmanager, keyed by the app instance's UUID.
type AppInstanceStatus struct {
	UUIDandVersion         UUIDandVersion
	DisplayName            string
	DomainName             string // "<UUID>.<version>.<AppNum>" once booted
	Activated              bool
	ActivateInprogress     bool
	FixedResources         VmConfig
	VolumeRefStatusList    []VolumeRefStatus
	AppNetAdapters         []AppNetAdapterStatus
	BootTime               time.Time
	IoAdapterList          []IoAdapter
	RestartInprogress      Inprogress
	RestartStartedAt       time.Time
	PurgeInprogress        Inprogress
	PurgeStartedAt         time.Time
	State                  SwState
	MissingNetwork         bool
	MissingMemory          bool
	NoBootPriority         bool
	ErrorAndTimeWithSource // of the app instance and all its volumes
	StartTime              time.Time
	SnapStatus             SnapshottingStatus
	MemOverhead            uint64 // bytes, of the hypervisor's own process

	NoUploadStatsToController bool
	IsDesignatedNodeID        bool // in a cluster: this node is the one to run the app instance
}
