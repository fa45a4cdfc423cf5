// SPDX-License-Identifier: Apache-2.0

package eve

// VmMode is the kind of virtualization of a domain.
type VmMode uint8

// Values of VmMode.
const (
	VmModePV  VmMode = iota // paravirtualized
	VmModeHVM               // hardware virtualization
	VmModeFiller
	VmModeFML
	VmModeNoHyper // a container in the host's kernel
	VmModeLegacy
)

// String returns the value's name.
func (m VmMode) String() string {
	return enumName(m, "VmMode", 0, "PV", "HVM", "Filler", "FML", "NOHYPER", "LEGACY")
}

// BootOrder says what a domain's firmware tries to boot from (EVE API, common.BootOrder).
type BootOrder int32

// Values of BootOrder.
const (
	BootOrderUnspecified BootOrder = iota
	BootOrderUSB
	BootOrderNoUSB
)

// String returns the value's name.
func (b BootOrder) String() string {
	return enumName(b, "BootOrder", 0, "BOOT_ORDER_UNSPECIFIED", "BOOT_ORDER_USB", "BOOT_ORDER_NOUSB")
}

// BootOrderSource says who decided on a BootOrder (EVE API, profile.BootOrderSource).
type BootOrderSource int32

// Values of BootOrderSource.
const (
	BootOrderSourceUnspecified BootOrderSource = iota
	BootOrderSourceLPS                         // the local profile server
	BootOrderSourceController
	BootOrderSourceDeviceProperty
)

// String returns the value's name.
func (s BootOrderSource) String() string {
	return enumName(s, "BootOrderSource", 0, "BOOT_ORDER_SOURCE_UNSPECIFIED", "BOOT_ORDER_SOURCE_LPS",
		"BOOT_ORDER_SOURCE_CONTROLLER", "BOOT_ORDER_SOURCE_DEVICE_PROPERTY")
}

// VmConfig is what a domain is made of. A field of AppInstanceConfig and AppInstanceStatus, embedded in DomainConfig
// and DomainStatus.
type VmConfig struct {
	Kernel             string
	Ramdisk            string
	Memory             int // KiB
	MaxMem             int // KiB; 0: no ballooning
	VCpus              int
	MaxCpus            int
	RootDev            string
	ExtraArgs          string // for the kernel's command line
	BootLoader         string
	CPUs               []uint32 // those that the domain is pinned to
	DeviceTree         string
	DtDev              []string
	IRQs               []int
	IOMem              []string
	VirtualizationMode VmMode
	EnableVnc          bool
	VncDisplay         uint32
	VncPasswd          string
	CPUsPinned         bool
	VMMMaxMem          int // KiB, for the hypervisor's own process
	EnableVncShimVM    bool
	// EnforceNetworkInterfaceOrder asks for network devices in the order of IntfOrder, virtual and assigned ones mixed.
	EnforceNetworkInterfaceOrder bool
	EnableOemWinLicenseKey       bool
	DisableVirtualTPM            bool
	BootOrder                    BootOrder
}

// IoType is the kind of a device's hardware adapter (EVE API, common.PhyIoType).
type IoType uint8

// Values of IoType. The number 8 is not used.
const (
	IoNop           IoType = 0
	IoNetEth        IoType = 1
	IoUSB           IoType = 2
	IoCom           IoType = 3
	IoAudio         IoType = 4
	IoNetWLAN       IoType = 5
	IoNetWWAN       IoType = 6
	IoHDMI          IoType = 7
	IoNVMEStorage   IoType = 9
	IoSATAStorage   IoType = 10
	IoNetEthPF      IoType = 11
	IoNetEthVF      IoType = 12
	IoUSBController IoType = 13
	IoUSBDevice     IoType = 14
	IoCAN           IoType = 15
	IoVCAN          IoType = 16
	IoLCAN          IoType = 17
	IoOther         IoType = 255
)

// String returns the value's name.
func (t IoType) String() string {
	if t == IoOther {
		return "Other"
	}
	return enumName(t, "IoType", 0, "Nop", "NetEth", "USB", "Com", "Audio", "NetWLAN", "NetWWAN", "HDMI", "",
		"NVMEStorage", "SATAStorage", "NetEthPF", "NetEthVF", "USBController", "USBDevice", "CAN", "VCAN", "LCAN")
}

// EthVF is a virtual function of a network adapter (SR-IOV). Absent unless the adapter is one.
type EthVF struct {
	Index   uint8  `json:",omitempty"`
	PciLong string `json:",omitempty"`
	Mac     string `json:",omitempty"`
	VlanID  uint16 `json:",omitempty"`
}

// IoAdapter assigns a hardware adapter of the device to an app instance.
type IoAdapter struct {
	Type      IoType
	Name      string // such as "COM1" or "eth1-2"
	EthVf     EthVF  // for IoNetEthVF only
	IntfOrder uint32
}
