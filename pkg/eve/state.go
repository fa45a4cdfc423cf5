// SPDX-License-Identifier: Apache-2.0

package eve

// SwState is how far an app instance, a volume or a piece of content has come. It starts at 100 so as not to be
// mistaken for the EVE API's info.ZSwState.
type SwState uint8

// Values of SwState.
const (
	SwStateInitial SwState = iota + 100
	SwStateResolvingTag
	SwStateResolvedTag
	SwStateDownloading
	SwStateDownloaded
	SwStateVerifying
	SwStateVerified
	SwStateLoading
	SwStateLoaded
	SwStateCreatingVolume
	SwStateCreatedVolume
	SwStateInstalled // ready to be activated
	SwStateAwaitNetworkInstance
	SwStateStartDelayed
	SwStateBooting
	SwStateRunning
	SwStatePausing
	SwStatePaused
	SwStateHalting
	SwStateHalted
	SwStateBroken // the domain is alive, its device model is not
	SwStateUnknown
	SwStatePending
	SwStateScheduling
	SwStateFailed
	SwStateRemoteLoaded // on another node of the cluster
)

// String returns the value's name.
func (s SwState) String() string {
	return enumName(s, "SwState", int64(SwStateInitial), "INITIAL", "RESOLVING_TAG", "RESOLVED_TAG", "DOWNLOADING",
		"DOWNLOADED", "VERIFYING", "VERIFIED", "LOADING", "LOADED", "CREATING_VOLUME", "CREATED_VOLUME", "INSTALLED",
		"AWAITNETWORKINSTANCE", "START_DELAYED", "BOOTING", "RUNNING", "PAUSING", "PAUSED", "HALTING", "HALTED", "BROKEN",
		"UNKNOWN", "PENDING", "SCHEDULING", "FAILED", "REMOTELOADED")
}

// Inprogress is the step of a restart or purge that an app instance is in.
type Inprogress uint8

// Values of Inprogress.
const (
	NotInprogress Inprogress = iota
	DownloadAndVerify
	BringDown
	RecreateVolumes
	BringUp
)

// String returns the value's name.
func (i Inprogress) String() string {
	return enumName(i, "Inprogress", 0, "NotInprogress", "DownloadAndVerify", "BringDown", "RecreateVolumes", "BringUp")
}
