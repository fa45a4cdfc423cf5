// SPDX-License-Identifier: Apache-2.0

package eve

// TriState is a setting that may be left to its default.
type TriState uint8

// Values of TriState.
const (
	TriStateNone TriState = iota
	TriStateDisabled
	TriStateEnabled
)

// String returns the value's name.
func (t TriState) String() string {
	return enumName(t, "TriState", 0, "none", "disabled", "enabled")
}

// ConfigItemType says which of a ConfigItemValue's fields counts.
type ConfigItemType uint8

// Values of ConfigItemType.
const (
	ConfigItemTypeInvalid ConfigItemType = iota
	ConfigItemTypeInt
	ConfigItemTypeBool
	ConfigItemTypeString
	ConfigItemTypeTriState
)

// String returns the value's name.
func (t ConfigItemType) String() string {
	return enumName(t, "ConfigItemType", 0, "Invalid", "Int", "Bool", "String", "TriState")
}

// GlobalSettingKey names a setting of the device, such as "timer.metric.interval" (EVE, CONFIG-PROPERTIES.md).
type GlobalSettingKey string

// AgentSettingKey names a setting of one agent, such as "debug.loglevel".
type AgentSettingKey string

// ConfigItemValue is the value of one setting.
type ConfigItemValue struct {
	Key           string
	ItemType      ConfigItemType
	IntValue      uint32
	StrValue      string
	BoolValue     bool
	TriStateValue TriState
}

// ConfigItemValueMap are the device's settings. Topic of zedagent, keyed by GlobalKey.
type ConfigItemValueMap struct {
	GlobalSettings map[GlobalSettingKey]ConfigItemValue
	AgentSettings  map[string]map[AgentSettingKey]ConfigItemValue // by agent
}
