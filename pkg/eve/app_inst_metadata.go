// SPDX-License-Identifier: Apache-2.0

package eve

import "github.com/google/uuid"

// AppInstMetaDataType says what a guest sent.
type AppInstMetaDataType uint8

// Values of AppInstMetaDataType.
const (
	AppInstMetaDataTypeNone AppInstMetaDataType = iota
	AppInstMetaDataTypeKubeConfig
	AppInstMetaDataCustomStatus
)

// String returns the value's name.
func (t AppInstMetaDataType) String() string {
	return enumName(t, "AppInstMetaDataType", 0, "None", "KubeConfig", "CustomStatus")
}

// AppInstMetaData is what a guest sent for the controller. Topic of EVE's msrv and of AgentServe, persistent, keyed by
// "<app instance's UUID>-<Type>".
type AppInstMetaData struct {
	AppInstUUID uuid.UUID
	Data        []byte
	Type        AppInstMetaDataType
}
