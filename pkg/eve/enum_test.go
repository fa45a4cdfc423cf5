// SPDX-License-Identifier: Apache-2.0

package eve_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// enumsFile has a line for each value of each enumeration: type, number, name of the constant and what it prints as.
// The numbers are EVE's and never change.
const enumsFile = "testdata/enums.golden"

// enumValues returns all values of all enumerations, by the names of their constants.
func enumValues() map[string]fmt.Stringer {
	return map[string]fmt.Stringer{
		"AceDirBoth":                       eve.AceDirBoth,
		"AceDirEgress":                     eve.AceDirEgress,
		"AceDirIngress":                    eve.AceDirIngress,
		"AddressSourceEVEInternal":         eve.AddressSourceEVEInternal,
		"AddressSourceExternalDHCP":        eve.AddressSourceExternalDHCP,
		"AddressSourceInternalDHCP":        eve.AddressSourceInternalDHCP,
		"AddressSourceSLAAC":               eve.AddressSourceSLAAC,
		"AddressSourceStatic":              eve.AddressSourceStatic,
		"AddressSourceUndefined":           eve.AddressSourceUndefined,
		"AddressTypeCryptoIPV4":            eve.AddressTypeCryptoIPV4,
		"AddressTypeCryptoIPV6":            eve.AddressTypeCryptoIPV6,
		"AddressTypeIPV4":                  eve.AddressTypeIPV4,
		"AddressTypeIPV6":                  eve.AddressTypeIPV6,
		"AddressTypeNone":                  eve.AddressTypeNone,
		"AppInstMetaDataCustomStatus":      eve.AppInstMetaDataCustomStatus,
		"AppInstMetaDataTypeKubeConfig":    eve.AppInstMetaDataTypeKubeConfig,
		"AppInstMetaDataTypeNone":          eve.AppInstMetaDataTypeNone,
		"AppRuntimeTypeDocker":             eve.AppRuntimeTypeDocker,
		"AppRuntimeTypeUnspecified":        eve.AppRuntimeTypeUnspecified,
		"BlobEncrytedTypeInline":           eve.BlobEncrytedTypeInline,
		"BlobEncrytedTypeNone":             eve.BlobEncrytedTypeNone,
		"BlobEncrytedTypeVolume":           eve.BlobEncrytedTypeVolume,
		"BondLACPChurnChurned":             eve.BondLACPChurnChurned,
		"BondLACPChurnMonitoring":          eve.BondLACPChurnMonitoring,
		"BondLACPChurnNone":                eve.BondLACPChurnNone,
		"BondMode802Dot3AD":                eve.BondMode802Dot3AD,
		"BondModeActiveBackup":             eve.BondModeActiveBackup,
		"BondModeBalanceALB":               eve.BondModeBalanceALB,
		"BondModeBalanceRR":                eve.BondModeBalanceRR,
		"BondModeBalanceTLB":               eve.BondModeBalanceTLB,
		"BondModeBalanceXOR":               eve.BondModeBalanceXOR,
		"BondModeBroadcast":                eve.BondModeBroadcast,
		"BondModeUnspecified":              eve.BondModeUnspecified,
		"BootOrderNoUSB":                   eve.BootOrderNoUSB,
		"BootOrderSourceController":        eve.BootOrderSourceController,
		"BootOrderSourceDeviceProperty":    eve.BootOrderSourceDeviceProperty,
		"BootOrderSourceLPS":               eve.BootOrderSourceLPS,
		"BootOrderSourceUnspecified":       eve.BootOrderSourceUnspecified,
		"BootOrderUSB":                     eve.BootOrderUSB,
		"BootOrderUnspecified":             eve.BootOrderUnspecified,
		"BringDown":                        eve.BringDown,
		"BringUp":                          eve.BringUp,
		"CertHashTypeNone":                 eve.CertHashTypeNone,
		"CertHashTypeSha256First16":        eve.CertHashTypeSha256First16,
		"CertMetaDataTypeNone":             eve.CertMetaDataTypeNone,
		"CertMetaDataTypeTpm2Public":       eve.CertMetaDataTypeTpm2Public,
		"ZCertTypeControllerECDHExchange":  eve.ZCertTypeControllerECDHExchange,
		"ZCertTypeControllerIntermediate":  eve.ZCertTypeControllerIntermediate,
		"ZCertTypeControllerNone":          eve.ZCertTypeControllerNone,
		"ZCertTypeControllerSigning":       eve.ZCertTypeControllerSigning,
		"ZCertTypeDeviceECDHExchange":      eve.ZCertTypeDeviceECDHExchange,
		"ZCertTypeDeviceEndorsementRSA":    eve.ZCertTypeDeviceEndorsementRSA,
		"ZCertTypeDeviceOnboarding":        eve.ZCertTypeDeviceOnboarding,
		"ZCertTypeDeviceRestrictedSigning": eve.ZCertTypeDeviceRestrictedSigning,
		"CertTypeEcdhXchange":              eve.CertTypeEcdhXchange,
		"CertTypeEk":                       eve.CertTypeEk,
		"CertTypeNone":                     eve.CertTypeNone,
		"CertTypeOnboarding":               eve.CertTypeOnboarding,
		"CertTypeRestrictSigning":          eve.CertTypeRestrictSigning,
		"ChangeInProgressTypeCreate":       eve.ChangeInProgressTypeCreate,
		"ChangeInProgressTypeDelete":       eve.ChangeInProgressTypeDelete,
		"ChangeInProgressTypeModify":       eve.ChangeInProgressTypeModify,
		"ChangeInProgressTypeNone":         eve.ChangeInProgressTypeNone,
		"ConfigItemTypeBool":               eve.ConfigItemTypeBool,
		"ConfigItemTypeInt":                eve.ConfigItemTypeInt,
		"ConfigItemTypeInvalid":            eve.ConfigItemTypeInvalid,
		"ConfigItemTypeString":             eve.ConfigItemTypeString,
		"ConfigItemTypeTriState":           eve.ConfigItemTypeTriState,
		"ConnectivityProbeMethodICMP":      eve.ConnectivityProbeMethodICMP,
		"ConnectivityProbeMethodNone":      eve.ConnectivityProbeMethodNone,
		"ConnectivityProbeMethodTCP":       eve.ConnectivityProbeMethodTCP,
		"DPCStateAsyncWait":                eve.DPCStateAsyncWait,
		"DPCStateFail":                     eve.DPCStateFail,
		"DPCStateFailWithIPAndDNS":         eve.DPCStateFailWithIPAndDNS,
		"DPCStateIPDNSWait":                eve.DPCStateIPDNSWait,
		"DPCStateIntfWait":                 eve.DPCStateIntfWait,
		"DPCStateNone":                     eve.DPCStateNone,
		"DPCStatePCIWait":                  eve.DPCStatePCIWait,
		"DPCStateRemoteWait":               eve.DPCStateRemoteWait,
		"DPCStateSuccess":                  eve.DPCStateSuccess,
		"DPCStateWwanWait":                 eve.DPCStateWwanWait,
		"DhcpTypeClient":                   eve.DhcpTypeClient,
		"DhcpTypeNOOP":                     eve.DhcpTypeNOOP,
		"DhcpTypeNone":                     eve.DhcpTypeNone,
		"DhcpTypeStatic":                   eve.DhcpTypeStatic,
		"DownloadAndVerify":                eve.DownloadAndVerify,
		"EncryptionAES256CFB":              eve.EncryptionAES256CFB,
		"EncryptionNone":                   eve.EncryptionNone,
		"ErrorEntityAppInstance":           eve.ErrorEntityAppInstance,
		"ErrorEntityAttestation":           eve.ErrorEntityAttestation,
		"ErrorEntityBaseOs":                eve.ErrorEntityBaseOs,
		"ErrorEntityContentBlob":           eve.ErrorEntityContentBlob,
		"ErrorEntityContentTree":           eve.ErrorEntityContentTree,
		"ErrorEntityNetwork":               eve.ErrorEntityNetwork,
		"ErrorEntityNetworkInstance":       eve.ErrorEntityNetworkInstance,
		"ErrorEntityPort":                  eve.ErrorEntityPort,
		"ErrorEntitySystemAdapter":         eve.ErrorEntitySystemAdapter,
		"ErrorEntityUnspecified":           eve.ErrorEntityUnspecified,
		"ErrorEntityVault":                 eve.ErrorEntityVault,
		"ErrorEntityVolume":                eve.ErrorEntityVolume,
		"ErrorSeverityError":               eve.ErrorSeverityError,
		"ErrorSeverityNotice":              eve.ErrorSeverityNotice,
		"ErrorSeverityUnspecified":         eve.ErrorSeverityUnspecified,
		"ErrorSeverityWarning":             eve.ErrorSeverityWarning,
		"FormatContainer":                  eve.FormatContainer,
		"FormatISO":                        eve.FormatISO,
		"FormatOVA":                        eve.FormatOVA,
		"FormatPVC":                        eve.FormatPVC,
		"FormatQCOW":                       eve.FormatQCOW,
		"FormatQCOW2":                      eve.FormatQCOW2,
		"FormatRAW":                        eve.FormatRAW,
		"FormatUnknown":                    eve.FormatUnknown,
		"FormatVHD":                        eve.FormatVHD,
		"FormatVHDX":                       eve.FormatVHDX,
		"FormatVMDK":                       eve.FormatVMDK,
		"HashAlgorithmInvalid":             eve.HashAlgorithmInvalid,
		"HashAlgorithmSha256Bytes16":       eve.HashAlgorithmSha256Bytes16,
		"HashAlgorithmSha256Bytes32":       eve.HashAlgorithmSha256Bytes32,
		"IoAudio":                          eve.IoAudio,
		"IoCAN":                            eve.IoCAN,
		"IoCom":                            eve.IoCom,
		"IoHDMI":                           eve.IoHDMI,
		"IoLCAN":                           eve.IoLCAN,
		"IoNVMEStorage":                    eve.IoNVMEStorage,
		"IoNetEth":                         eve.IoNetEth,
		"IoNetEthPF":                       eve.IoNetEthPF,
		"IoNetEthVF":                       eve.IoNetEthVF,
		"IoNetWLAN":                        eve.IoNetWLAN,
		"IoNetWWAN":                        eve.IoNetWWAN,
		"IoNop":                            eve.IoNop,
		"IoOther":                          eve.IoOther,
		"IoSATAStorage":                    eve.IoSATAStorage,
		"IoUSB":                            eve.IoUSB,
		"IoUSBController":                  eve.IoUSBController,
		"IoUSBDevice":                      eve.IoUSBDevice,
		"IoVCAN":                           eve.IoVCAN,
		"KeyExchangeECDH":                  eve.KeyExchangeECDH,
		"KeyExchangeNone":                  eve.KeyExchangeNone,
		"KeySchemeNone":                    eve.KeySchemeNone,
		"KeySchemeOther":                   eve.KeySchemeOther,
		"KeySchemeWpaEap":                  eve.KeySchemeWpaEap,
		"KeySchemeWpaPsk":                  eve.KeySchemeWpaPsk,
		"L2LinkTypeBond":                   eve.L2LinkTypeBond,
		"L2LinkTypeNone":                   eve.L2LinkTypeNone,
		"L2LinkTypeVLAN":                   eve.L2LinkTypeVLAN,
		"LacpRateFast":                     eve.LacpRateFast,
		"LacpRateSlow":                     eve.LacpRateSlow,
		"LacpRateUnspecified":              eve.LacpRateUnspecified,
		"MetaDataDrive":                    eve.MetaDataDrive,
		"MetaDataDriveMultipart":           eve.MetaDataDriveMultipart,
		"MetaDataNone":                     eve.MetaDataNone,
		"MetaDataOpenStack":                eve.MetaDataOpenStack,
		"NetworkInstanceTypeCloud":         eve.NetworkInstanceTypeCloud,
		"NetworkInstanceTypeHoneyPot":      eve.NetworkInstanceTypeHoneyPot,
		"NetworkInstanceTypeLocal":         eve.NetworkInstanceTypeLocal,
		"NetworkInstanceTypeSwitch":        eve.NetworkInstanceTypeSwitch,
		"NetworkInstanceTypeTransparent":   eve.NetworkInstanceTypeTransparent,
		"NetworkProxyTypeFTP":              eve.NetworkProxyTypeFTP,
		"NetworkProxyTypeHTTP":             eve.NetworkProxyTypeHTTP,
		"NetworkProxyTypeHTTPS":            eve.NetworkProxyTypeHTTPS,
		"NetworkProxyTypeNOPROXY":          eve.NetworkProxyTypeNOPROXY,
		"NetworkProxyTypeSOCKS":            eve.NetworkProxyTypeSOCKS,
		"NetworkTypeDualStack":             eve.NetworkTypeDualStack,
		"NetworkTypeIPV6":                  eve.NetworkTypeIPV6,
		"NetworkTypeIPv4":                  eve.NetworkTypeIPv4,
		"NetworkTypeIpv4Only":              eve.NetworkTypeIpv4Only,
		"NetworkTypeIpv6Only":              eve.NetworkTypeIpv6Only,
		"NetworkTypeNOOP":                  eve.NetworkTypeNOOP,
		"NotInprogress":                    eve.NotInprogress,
		"PatchEnvelopeStateActive":         eve.PatchEnvelopeStateActive,
		"PatchEnvelopeStateDownloaded":     eve.PatchEnvelopeStateDownloaded,
		"PatchEnvelopeStateDownloading":    eve.PatchEnvelopeStateDownloading,
		"PatchEnvelopeStateError":          eve.PatchEnvelopeStateError,
		"PatchEnvelopeStateReady":          eve.PatchEnvelopeStateReady,
		"PatchEnvelopeStateReceived":       eve.PatchEnvelopeStateReceived,
		"RecreateVolumes":                  eve.RecreateVolumes,
		"SimTypeEmbedded":                  eve.SimTypeEmbedded,
		"SimTypePhysical":                  eve.SimTypePhysical,
		"SimTypeUnspecified":               eve.SimTypeUnspecified,
		"SnapshotTypeAppUpdate":            eve.SnapshotTypeAppUpdate,
		"SnapshotTypeImmediate":            eve.SnapshotTypeImmediate,
		"SnapshotTypeUnspecified":          eve.SnapshotTypeUnspecified,
		"SwStateAwaitNetworkInstance":      eve.SwStateAwaitNetworkInstance,
		"SwStateBooting":                   eve.SwStateBooting,
		"SwStateBroken":                    eve.SwStateBroken,
		"SwStateCreatedVolume":             eve.SwStateCreatedVolume,
		"SwStateCreatingVolume":            eve.SwStateCreatingVolume,
		"SwStateDownloaded":                eve.SwStateDownloaded,
		"SwStateDownloading":               eve.SwStateDownloading,
		"SwStateFailed":                    eve.SwStateFailed,
		"SwStateHalted":                    eve.SwStateHalted,
		"SwStateHalting":                   eve.SwStateHalting,
		"SwStateInitial":                   eve.SwStateInitial,
		"SwStateInstalled":                 eve.SwStateInstalled,
		"SwStateLoaded":                    eve.SwStateLoaded,
		"SwStateLoading":                   eve.SwStateLoading,
		"SwStatePaused":                    eve.SwStatePaused,
		"SwStatePausing":                   eve.SwStatePausing,
		"SwStatePending":                   eve.SwStatePending,
		"SwStateRemoteLoaded":              eve.SwStateRemoteLoaded,
		"SwStateResolvedTag":               eve.SwStateResolvedTag,
		"SwStateResolvingTag":              eve.SwStateResolvingTag,
		"SwStateRunning":                   eve.SwStateRunning,
		"SwStateScheduling":                eve.SwStateScheduling,
		"SwStateStartDelayed":              eve.SwStateStartDelayed,
		"SwStateUnknown":                   eve.SwStateUnknown,
		"SwStateVerified":                  eve.SwStateVerified,
		"SwStateVerifying":                 eve.SwStateVerifying,
		"TargetAppCustom":                  eve.TargetAppCustom,
		"TargetDisk":                       eve.TargetDisk,
		"TargetInitrd":                     eve.TargetInitrd,
		"TargetKernel":                     eve.TargetKernel,
		"TargetRAMDisk":                    eve.TargetRAMDisk,
		"TargetUnknown":                    eve.TargetUnknown,
		"TriStateDisabled":                 eve.TriStateDisabled,
		"TriStateEnabled":                  eve.TriStateEnabled,
		"TriStateNone":                     eve.TriStateNone,
		"VmModeFML":                        eve.VmModeFML,
		"VmModeFiller":                     eve.VmModeFiller,
		"VmModeHVM":                        eve.VmModeHVM,
		"VmModeLegacy":                     eve.VmModeLegacy,
		"VmModeNoHyper":                    eve.VmModeNoHyper,
		"VmModePV":                         eve.VmModePV,
		"VolumeContentOriginBlank":         eve.VolumeContentOriginBlank,
		"VolumeContentOriginDownload":      eve.VolumeContentOriginDownload,
		"VolumeContentOriginUnknown":       eve.VolumeContentOriginUnknown,
		"VolumeSubStateCreated":            eve.VolumeSubStateCreated,
		"VolumeSubStateDeleting":           eve.VolumeSubStateDeleting,
		"VolumeSubStateInitial":            eve.VolumeSubStateInitial,
		"VolumeSubStatePrepareDone":        eve.VolumeSubStatePrepareDone,
		"VolumeSubStatePreparing":          eve.VolumeSubStatePreparing,
		"VolumesSnapshotCreate":            eve.VolumesSnapshotCreate,
		"VolumesSnapshotDelete":            eve.VolumesSnapshotDelete,
		"VolumesSnapshotRollback":          eve.VolumesSnapshotRollback,
		"VolumesSnapshotUnspecifiedAction": eve.VolumesSnapshotUnspecifiedAction,
		"WirelessTypeCellular":             eve.WirelessTypeCellular,
		"WirelessTypeNone":                 eve.WirelessTypeNone,
		"WirelessTypeWifi":                 eve.WirelessTypeWifi,
	}
}

// TestEnumValues compares the numbers and names of all values with those on record.
func TestEnumValues(t *testing.T) {
	t.Parallel()
	var lines []string
	for constant, value := range enumValues() {
		typ := strings.TrimPrefix(fmt.Sprintf("%T", value), "eve.")
		lines = append(lines, fmt.Sprintf("%-24s %3d %s %s", typ, value, constant, value))
	}
	slices.Sort(lines)
	checkGolden(t, enumsFile, strings.Join(lines, "\n")+"\n")
}

// TestEnumValuesComplete checks that enumValues has every typed constant of the package.
func TestEnumValuesComplete(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		declared = append(declared, typedConstants(t, file)...)
	}
	slices.Sort(declared)
	if diff := cmp.Diff(declared, slices.Sorted(maps.Keys(enumValues()))); diff != "" {
		t.Errorf("constants (-declared +in the test):\n%s", diff)
	}
}

// typedConstants returns the names of the constants in file whose declaration names a type.
func typedConstants(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, decl := range parsed.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST || group.Specs[0].(*ast.ValueSpec).Type == nil {
			continue
		}
		for _, spec := range group.Specs {
			for _, name := range spec.(*ast.ValueSpec).Names {
				names = append(names, name.Name)
			}
		}
	}
	return names
}

// TestUnnamedEnumValues checks how values print that a newer EVE may have, or that have no names.
func TestUnnamedEnumValues(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		value fmt.Stringer
		want  string
	}{
		{"above the last", eve.MetaDataType(4), "MetaDataType(4)"},
		{"below the first", eve.NetworkInstanceType(0), "NetworkInstanceType(0)"},
		{"negative", eve.NetworkInstanceType(-1), "NetworkInstanceType(-1)"},
		{"in a gap", eve.NetworkInstanceType(4), "NetworkInstanceType(4)"},
		{"in a gap up to 255", eve.IoType(254), "IoType(254)"},
		{"two bits", eve.AddressSourceInternalDHCP | eve.AddressSourceStatic, "AddressSource(36)"},
		{"affinity", eve.Affinity(0), "Affinity(0)"},
		{"bearer", eve.BearerType(1), "BearerType(1)"},
		{"crash", eve.CrashHandlingState(1), "CrashHandlingState(1)"},
		{"origin", eve.NetworkConfigOrigin(1), "NetworkConfigOrigin(1)"},
		{"port version", eve.DevicePortConfigVersion(1 << 31), "DevicePortConfigVersion(2147483648)"},
		{"snapshot", eve.SnapshotWhen(1), "SnapshotWhen(1)"},
		{"supplicant", eve.SupplicantState(1), "SupplicantState(1)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.value.String(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// checkGolden compares got with the file's content, or writes it there with -update.
func checkGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}
