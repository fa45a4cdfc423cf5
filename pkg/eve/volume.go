// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"time"

	"github.com/google/uuid"
)

// Format is the format of a disk image (EVE API, config.Format).
type Format int32

// Values of Format.
const (
	FormatUnknown Format = iota
	FormatRAW
	FormatQCOW
	FormatQCOW2
	FormatVHD
	FormatVMDK
	FormatOVA
	FormatVHDX
	FormatContainer
	FormatISO
	FormatPVC
)

// String returns the value's name.
func (f Format) String() string {
	return enumName(f, "Format", 0, "FmtUnknown", "RAW", "QCOW", "QCOW2", "VHD", "VMDK", "OVA", "VHDX", "CONTAINER", "ISO",
		"PVC")
}

// Target is what a volume is for (EVE API, config.Target).
type Target int32

// Values of Target.
const (
	TargetUnknown Target = iota
	TargetDisk
	TargetKernel
	TargetInitrd
	TargetRAMDisk
	TargetAppCustom // a blob for the guest to fetch from EVE's metadata server
)

// String returns the value's name.
func (t Target) String() string {
	return enumName(t, "Target", 0, "TgtUnknown", "Disk", "Kernel", "Initrd", "RamDisk", "AppCustom")
}

// VolumeContentOriginType says where a volume's first content comes from (EVE API, config.VolumeContentOriginType).
type VolumeContentOriginType int32

// Values of VolumeContentOriginType.
const (
	VolumeContentOriginUnknown VolumeContentOriginType = iota
	VolumeContentOriginBlank
	VolumeContentOriginDownload
)

// String returns the value's name.
func (t VolumeContentOriginType) String() string {
	return enumName(t, "VolumeContentOriginType", 0, "VCOT_UNKNOWN", "VCOT_BLANK", "VCOT_DOWNLOAD")
}

// VolumeSubState is how far the making of a volume has come. EVE's type of this name is not exported.
type VolumeSubState uint8

// Values of VolumeSubState.
const (
	VolumeSubStateInitial VolumeSubState = iota
	VolumeSubStatePreparing
	VolumeSubStatePrepareDone
	VolumeSubStateCreated
	VolumeSubStateDeleting
)

// String returns the value's name.
func (s VolumeSubState) String() string {
	return enumName(s, "VolumeSubState", 0, "Initial", "Preparing", "PrepareDone", "Created", "Deleting")
}

// VolumeStatus is a volume as it is. Topic of volumemgr, keyed by "<VolumeID>#<sum of the generation counters>".
type VolumeStatus struct {
	VolumeID                   uuid.UUID
	ContentID                  uuid.UUID
	VolumeContentOriginType    VolumeContentOriginType
	MaxVolSize                 uint64 // bytes
	ReadOnly                   bool
	GenerationCounter          int64
	LocalGenerationCounter     int64
	Encrypted                  bool
	DisplayName                string
	State                      SwState
	SubState                   VolumeSubState
	RefCount                   uint
	LastRefCountChangeTime     time.Time
	Progress                   uint  // percent
	TotalSize                  int64 // bytes to come
	CurrentSize                int64 // bytes so far
	FileLocation               string
	CreateTime                 time.Time
	ContentFormat              Format
	LastUse                    time.Time
	PreReboot                  bool
	ReferenceName              string
	WWN                        string
	Target                     Target
	CustomMeta                 string
	IsReplicated               bool
	IsNativeContainer          bool
	ClusterStorageTransientErr bool
	ClusterStorageRetryCount   int
	ErrorAndTimeWithSource
}

// ContentTreeStatus is a piece of content for volumes. Topic of volumemgr, keyed by ContentID.
type ContentTreeStatus struct {
	ContentID             uuid.UUID
	DatastoreIDList       []uuid.UUID
	DatastoreTypesList    []string
	AllDatastoresResolved bool
	IsOCIRegistry         bool
	RelativeURL           string
	Format                Format
	ContentSha256         string
	MaxDownloadSize       uint64 // bytes
	GenerationCounter     int64
	DisplayName           string
	HasResolverRef        bool
	State                 SwState
	CreateTime            time.Time
	TotalSize             int64 // bytes to come
	CurrentSize           int64 // bytes so far
	Progress              uint  // percent
	FileLocation          string
	NameIsURL             bool
	Blobs                 []string // SHA-256 of each
	HVTypeKube            bool
	IsLocal               bool
	ErrorAndTimeWithSource
}
