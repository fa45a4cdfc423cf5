// SPDX-License-Identifier: Apache-2.0

package eve

import "github.com/google/uuid"

// EdgeNodeInfo is what the controller says about the device. Topic of zedagent, keyed by GlobalKey.
type EdgeNodeInfo struct {
	DeviceName     string
	DeviceID       uuid.UUID
	ProjectName    string
	ProjectID      uuid.UUID
	EnterpriseName string
	EnterpriseID   string
}

// OnboardingStatus is the device's identity, kept over reboots. Topic of zedclient, persistent, keyed by GlobalKey.
type OnboardingStatus struct {
	DeviceUUID    uuid.UUID
	HardwareModel string
}
