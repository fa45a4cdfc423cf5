// SPDX-License-Identifier: Apache-2.0

package eve

// WirelessType is the kind of a wireless port.
type WirelessType uint8

// Values of WirelessType.
const (
	WirelessTypeNone WirelessType = iota
	WirelessTypeCellular
	WirelessTypeWifi
)

// String returns the value's name.
func (t WirelessType) String() string {
	return enumName(t, "WirelessType", 0, "None", "Cellular", "Wifi")
}

// WifiKeySchemeType is how a Wi-Fi network authenticates.
type WifiKeySchemeType uint8

// Values of WifiKeySchemeType.
const (
	KeySchemeNone WifiKeySchemeType = iota
	KeySchemeWpaPsk
	KeySchemeWpaEap
	KeySchemeOther
)

// String returns the value's name.
func (t WifiKeySchemeType) String() string {
	return enumName(t, "WifiKeySchemeType", 0, "None", "WpaPsk", "WpaEap", "Other")
}

// WirelessConfig is the configuration of a wireless port.
type WirelessConfig struct {
	WType      WirelessType           `json:",omitempty"`
	CellularV2 CellNetPortConfig      `json:",omitempty"`
	Wifi       []WifiConfig           `json:",omitempty"`
	Cellular   []DeprecatedCellConfig `json:",omitempty"` // what old versions of EVE used instead of CellularV2
}

// CellNetPortConfig is the configuration of a cellular port.
type CellNetPortConfig struct {
	AccessPoints     []CellularAccessPoint `json:",omitempty"`
	Probe            WwanProbe             `json:",omitempty"`
	LocationTracking bool                  `json:",omitempty"`
}

// CellularAccessPoint is the configuration of one SIM's connection.
type CellularAccessPoint struct {
	SIMSlot                    uint8                    `json:",omitempty"`
	Activated                  bool                     `json:",omitempty"`
	APN                        string                   `json:",omitempty"`
	IPType                     WwanIPType               `json:",omitempty"`
	AuthProtocol               WwanAuthProtocol         `json:",omitempty"`
	CleartextCredentials       WwanCleartextCredentials `json:",omitempty"`
	EncryptedCredentials       CipherBlockStatus
	PreferredPLMNs             []string                 `json:",omitempty"`
	PreferredRATs              []WwanRAT                `json:",omitempty"`
	ForbidRoaming              bool                     `json:",omitempty"`
	AttachAPN                  string                   `json:",omitempty"`
	AttachIPType               WwanIPType               `json:",omitempty"`
	AttachAuthProtocol         WwanAuthProtocol         `json:",omitempty"`
	AttachCleartextCredentials WwanCleartextCredentials `json:",omitempty"`
}

// WwanCleartextCredentials are the credentials of a cellular connection.
type WwanCleartextCredentials struct {
	Username string
	Password string
}

// WwanProbe is a probe of a cellular connection.
type WwanProbe struct {
	Disable          bool
	UserDefinedProbe ConnectivityProbe
}

// WifiConfig is the configuration of one Wi-Fi network.
type WifiConfig struct {
	SSID              string            `json:",omitempty"`
	KeyScheme         WifiKeySchemeType `json:",omitempty"`
	Identity          string            `json:",omitempty"`
	Password          string            `json:",omitempty"`
	Priority          int32             `json:",omitempty"`
	CipherBlockStatus                   // encrypted identity and password
}

// DeprecatedCellConfig is the configuration of a cellular port in old versions of EVE.
type DeprecatedCellConfig struct {
	APN              string `json:",omitempty"`
	ProbeAddr        string `json:",omitempty"`
	DisableProbe     bool   `json:",omitempty"`
	LocationTracking bool   `json:",omitempty"`
}

// WirelessStatus is the state of a wireless port.
type WirelessStatus struct {
	WType    WirelessType
	Cellular WwanNetworkStatus
}
