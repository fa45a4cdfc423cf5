// SPDX-License-Identifier: Apache-2.0

package eve

import "time"

// DiskConfig is a disk that a domain is to have.
type DiskConfig struct {
	VolumeKey    string // of the VolumeStatus
	FileLocation string
	ReadOnly     bool
	Format       Format
	MountDir     string
	DisplayName  string
	WWN          string
	Target       Target
	CustomMeta   string
}

// DmiSystemInfo is what a device's firmware says about it.
type DmiSystemInfo struct {
	Manufacturer string
	ProductName  string
	Version      string
	SerialNumber string
	UUID         string
	SKUNumber    string
	Family       string
}

// OemWindowsLicenseKeyInfo lets a guest use the Windows licence in the device's firmware.
type OemWindowsLicenseKeyInfo struct {
	SystemInfo DmiSystemInfo
	Qemu       struct {
		DomainArguments []string
	}
	Xen struct{}
}

// DomainConfig is a domain, that is a VM or container, as zedmanager wants it.
// Topic of zedmanager, keyed by the app instance's UUID.
type DomainConfig struct {
	UUIDandVersion           UUIDandVersion
	DisplayName              string
	Activate                 bool
	UserActivate             bool
	AppNum                   int
	VmConfig                 // in this object itself, unlike AppInstanceConfig's
	DisableLogs              bool
	GPUConfig                string
	DiskConfigList           []DiskConfig
	VifList                  []VifConfig
	IoAdapterList            []IoAdapter
	KubeImageName            string
	PurgeCounter             uint32
	RestartCounter           uint32
	IsDNidNode               bool // in a cluster: this node is the one to run the domain
	AffinityType             Affinity
	CloudInitUserData        *string `json:"pubsub-large-CloudInitUserData"` // as in AppInstanceConfig
	CipherBlockStatus                // encrypted user data
	MetaDataType             MetaDataType
	Service                  bool
	CloudInitVersion         uint32 // as in AppInstanceConfig
	OemWindowsLicenseKeyInfo OemWindowsLicenseKeyInfo
	DeploymentType           AppRuntimeType
}

// DiskStatus is a disk that a domain has.
type DiskStatus struct {
	VolumeKey    string
	ReadOnly     bool
	FileLocation string
	Format       Format
	MountDir     string
	DisplayName  string
	Devtype      string // such as "hdd" or "cdrom"
	Vdev         string
	WWN          string
	CustomMeta   string
}

// WritableFile is a file that cloud-init's write_files puts into a container.
type WritableFile struct {
	Path        string
	Content     string
	Permissions string // octal
	Encoding    string
	Owner       string
}

// CrashHandlingState is what domainmgr does about a crashed domain. It is only passed on, hence no names.
type CrashHandlingState uint8

// String returns the value's number with its type.
func (s CrashHandlingState) String() string { return enumName(s, "CrashHandlingState", 0) }

// DomainStatus is a domain as it is. Topic of domainmgr, keyed by the app instance's UUID.
type DomainStatus struct {
	UUIDandVersion               UUIDandVersion
	DisplayName                  string
	State                        SwState
	Activated                    bool
	AppNum                       int
	PurgeCounter                 uint32
	RestartCounter               uint32
	PendingAdd                   bool
	PendingModify                bool
	PendingDelete                bool
	DomainName                   string
	DomainId                     int
	BootTime                     time.Time
	DiskStatusList               []DiskStatus
	VifList                      []VifInfo
	IoAdapterList                []IoAdapter
	DisableLogs                  bool
	TriedCount                   int
	ErrorAndTime                 // of the last try
	ConfigFailed                 bool
	BootFailed                   bool
	AdaptersFailed               bool
	OCIConfigDir                 string
	EnvVariables                 map[string]string
	WritableFiles                []WritableFile
	VmConfig                     // in this object itself
	Service                      bool
	VirtualTPM                   bool
	FmlCustomResolution          string
	IsDNidNode                   bool
	NodeName                     string
	PassthroughWindowsLicenseKey bool
	DeploymentType               AppRuntimeType
	CrashState                   CrashHandlingState
	CrashRunState                string
	GuestCoreDumpPath            string
	HoldUntil                    time.Time
	GdbSocket                    string
}
