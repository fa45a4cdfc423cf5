// SPDX-License-Identifier: Apache-2.0

package eve

import "net"

// AppNetworkConfig is the part of an app instance's configuration that the network and the metadata server need.
// Topic of zedmanager, keyed by the app instance's UUID. Its user data changes while the app instance runs; changes of
// its adapters, other than of their ACLs, wait for a restart.
type AppNetworkConfig struct {
	UUIDandVersion    UUIDandVersion
	DisplayName       string
	Activate          bool
	GetStatsIPAddr    net.IP
	AppNetAdapterList []AppNetAdapterConfig
	CloudInitUserData *string `json:"pubsub-large-CloudInitUserData"` // as in AppInstanceConfig
	CipherBlockStatus CipherBlockStatus
	MetaDataType      MetaDataType
	DeploymentType    AppRuntimeType
}

// AppPod is an app instance's pod (Kubernetes flavour of EVE).
type AppPod struct {
	Name      string
	NetNsPath string // of the pod's network namespace
}

// AppNetworkStatus is the state of an app instance's network adapters.
// Topic of zedrouter, keyed by the app instance's UUID.
type AppNetworkStatus struct {
	UUIDandVersion       UUIDandVersion
	AppNum               int // unique among the device's app instances
	Activated            bool
	PendingAdd           bool
	PendingModify        bool
	PendingDelete        bool
	ConfigInSync         bool
	DisplayName          string
	AppPod               AppPod
	GetStatsIPAddr       net.IP
	DeploymentType       AppRuntimeType
	AppNetAdapterList    []AppNetAdapterStatus
	AwaitNetworkInstance bool
	MACGenerator         int // version of the rule by which EVE makes MAC addresses
	ErrorAndTime
}
