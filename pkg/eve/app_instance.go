// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"net"
	"time"

	"github.com/google/uuid"
)

// MetaDataType says how an app instance gets its metadata on EVE (EVE API, config.MetaDataType).
type MetaDataType uint8

// Values of MetaDataType.
const (
	MetaDataDrive          MetaDataType = iota // a NoCloud drive
	MetaDataNone                               // nothing
	MetaDataOpenStack                          // OpenStack's metadata service
	MetaDataDriveMultipart                     // a drive with the parts of a MIME message as files
)

// String returns the value's name.
func (t MetaDataType) String() string {
	return enumName(t, "MetaDataType", 0, "MetaDataDrive", "MetaDataNone", "MetaDataOpenStack", "MetaDataDriveMultipart")
}

// AppRuntimeType is the kind of an app instance's runtime (EVE API, config.AppRuntimeType).
type AppRuntimeType int

// Values of AppRuntimeType.
const (
	AppRuntimeTypeUnspecified AppRuntimeType = iota
	AppRuntimeTypeDocker
)

// String returns the value's name.
func (t AppRuntimeType) String() string {
	return enumName(t, "AppRuntimeType", 0, "APP_RUNTIME_TYPE_UNSPECIFIED", "APP_RUNTIME_TYPE_DOCKER")
}

// Affinity says how strongly an app instance belongs to its node of a cluster. It is only passed on, hence no names.
type Affinity uint8

// String returns the value's number with its type.
func (a Affinity) String() string { return enumName(a, "Affinity", 0) }

// AppInstanceOpsCmd is a command of the controller, given once more with every change of Counter.
type AppInstanceOpsCmd struct {
	Counter   uint32
	ApplyTime string // not used by EVE
}

// VolumeRefConfig attaches a volume to an app instance.
type VolumeRefConfig struct {
	VolumeID               uuid.UUID
	GenerationCounter      int64
	LocalGenerationCounter int64
	AppUUID                uuid.UUID
	MountDir               string // in a container
	VerifyOnly             bool
}

// AppInstanceConfig is an app instance as the controller wants it.
// Topic of zedagent (and, as a copy, of zedmanager), keyed by the app instance's UUID.
type AppInstanceConfig struct {
	UUIDandVersion      UUIDandVersion
	DisplayName         string
	Errors              []string // why the configuration could not be read; such an app instance does not start
	FixedResources      VmConfig
	DisableLogs         bool
	VolumeRefConfigList []VolumeRefConfig
	Activate            bool
	AppNetAdapterList   []AppNetAdapterConfig
	IoAdapterList       []IoAdapter
	RestartCmd          AppInstanceOpsCmd
	PurgeCmd            AppInstanceOpsCmd
	LocalRestartCmd     AppInstanceOpsCmd
	LocalPurgeCmd       AppInstanceOpsCmd
	// CloudInitUserData is base64 of the user data, nil where there is none or the data is in the CipherBlockStatus.
	CloudInitUserData  *string `json:"pubsub-large-CloudInitUserData"`
	RemoteConsole      bool
	CollectStatsIPAddr net.IP
	CipherBlockStatus  // encrypted user data
	MetaDataType       MetaDataType
	ProfileList        []string
	Delay              time.Duration // of the start
	Service            bool
	// CloudInitVersion makes cloud-init run again in the guest when it changes; 0 from a controller that has none.
	CloudInitVersion    uint32
	Snapshot            SnapshotConfig
	AllowToDiscover     bool
	IsDesignatedNodeID  bool // in a cluster: this node is the one to run the app instance
	AffinityType        Affinity
	DeploymentType      AppRuntimeType
	ControllerBootOrder BootOrder
	BootOrderSource     BootOrderSource
}
