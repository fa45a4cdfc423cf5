// SPDX-License-Identifier: Apache-2.0

package eve

import "time"

// ErrorSeverity says how bad an error is that an agent reports.
type ErrorSeverity int32

// Values of ErrorSeverity.
const (
	ErrorSeverityUnspecified ErrorSeverity = iota
	ErrorSeverityNotice
	ErrorSeverityWarning
	ErrorSeverityError
)

// String returns the value's name.
func (s ErrorSeverity) String() string {
	return enumName(s, "ErrorSeverity", 0, "Unspecified", "Notice", "Warning", "Error")
}

// ErrorEntityType says what kind of thing an ErrorEntity names.
type ErrorEntityType int32

// Values of ErrorEntityType.
const (
	ErrorEntityUnspecified ErrorEntityType = iota
	ErrorEntityBaseOs
	ErrorEntitySystemAdapter
	ErrorEntityVault
	ErrorEntityAttestation
	ErrorEntityAppInstance
	ErrorEntityPort
	ErrorEntityNetwork
	ErrorEntityNetworkInstance
	ErrorEntityContentTree
	ErrorEntityContentBlob
	ErrorEntityVolume
)

// String returns the value's name.
func (t ErrorEntityType) String() string {
	return enumName(t, "ErrorEntityType", 0, "Unspecified", "BaseOs", "SystemAdapter", "Vault", "Attestation",
		"AppInstance", "Port", "Network", "NetworkInstance", "ContentTree", "ContentBlob", "Volume")
}

// ErrorEntity names one thing that an error is about.
type ErrorEntity struct {
	EntityType ErrorEntityType
	EntityID   string // UUID, hash or whatever else identifies a thing of that type
}

// ErrorDescription is an error as agents report it. There is none when Error is empty.
type ErrorDescription struct {
	Error               string
	ErrorTime           time.Time
	ErrorSeverity       ErrorSeverity
	ErrorRetryCondition string
	ErrorEntities       []*ErrorEntity
}

// ErrorAndTime is embedded by topics whose errors come from one agent.
type ErrorAndTime struct {
	ErrorDescription
}

// ErrorAndTimeWithSource is embedded by topics that also take over errors of other topics; ErrorSourceType names the
// Go type of the topic that the error came from.
type ErrorAndTimeWithSource struct {
	ErrorSourceType string
	ErrorDescription
}
