// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"encoding/json"
	"reflect"
)

// PatchEnvelopeState is how far a patch envelope has come (EVE API, info.PatchEnvelopeState).
type PatchEnvelopeState int32

// Values of PatchEnvelopeState. Guests may fetch active ones only.
const (
	PatchEnvelopeStateError PatchEnvelopeState = iota
	PatchEnvelopeStateReceived
	PatchEnvelopeStateDownloading
	PatchEnvelopeStateDownloaded
	PatchEnvelopeStateReady
	PatchEnvelopeStateActive
)

// String returns the value's name.
func (s PatchEnvelopeState) String() string {
	return enumName(s, "PatchEnvelopeState", 0, "Error", "Received", "Downloading", "Downloaded", "Ready", "Active")
}

// PatchEnvelopeInfoList are all patch envelopes: files that the controller offers to app instances.
// Topic of zedagent, persistent, keyed by GlobalKey.
type PatchEnvelopeInfoList struct {
	Envelopes []PatchEnvelopeInfo
}

// PatchEnvelopeInfo is one patch envelope. Topic of EVE's msrv, keyed by "<PatchID>v<Version>".
type PatchEnvelopeInfo struct {
	Name        string
	Version     string
	AllowedApps []string // UUIDs of the app instances that may fetch it
	PatchID     string
	Errors      []string
	State       PatchEnvelopeState
	BinaryBlobs []BinaryBlobCompleted
	VolumeRefs  []BinaryBlobVolumeRef
	CipherBlobs []BinaryCipherBlob
}

// PatchEnvelopeUsage counts what one app instance did with a patch envelope.
// Topic of EVE's msrv, keyed by "patchEnvelopeUsage:<PatchID>-v-<Version>-app-<AppUUID>".
type PatchEnvelopeUsage struct {
	AppUUID           string
	PatchID           string
	Version           string
	PatchAPICallCount uint64
	DownloadCount     uint64
}

// BinaryBlobCompleted is a file of a patch envelope that is on the device.
// In JSON its keys are sorted, and an empty EncArtifactMeta is {}.
type BinaryBlobCompleted struct {
	FileName         string            `json:"fileName"`
	FileSha          string            `json:"fileSha"`
	FileMetadata     string            `json:"fileMetaData"`     // base64, about the file
	ArtifactMetadata string            `json:"artifactMetaData"` // base64, about what the file is part of
	EncArtifactMeta  CipherBlockStatus `json:"encArtifactMeta"`  // the same, encrypted
	URL              string            `json:"url"`              // path on the device
	Size             int64             `json:"size"`             // bytes
}

// MarshalJSON implements json.Marshaler.
func (b BinaryBlobCompleted) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ArtifactMetadata string      `json:"artifactMetaData"`
		EncArtifactMeta  cipherBlock `json:"encArtifactMeta"`
		FileMetadata     string      `json:"fileMetaData"`
		FileName         string      `json:"fileName"`
		FileSha          string      `json:"fileSha"`
		Size             int64       `json:"size"`
		URL              string      `json:"url"`
	}{b.ArtifactMetadata, newCipherBlock(b.EncArtifactMeta), b.FileMetadata, b.FileName, b.FileSha, b.Size, b.URL})
}

// BinaryBlobVolumeRef is a file of a patch envelope that is the content of a volume.
// In JSON its keys are sorted, and an empty EncArtifactMeta is {}.
type BinaryBlobVolumeRef struct {
	FileName         string            `json:"fileName"`
	ImageName        string            `json:"imageName"`
	FileMetadata     string            `json:"fileMetaData"`     // base64, about the file
	ArtifactMetadata string            `json:"artifactMetaData"` // base64, about what the file is part of
	EncArtifactMeta  CipherBlockStatus `json:"encArtifactMeta"`  // the same, encrypted
	ImageID          string            `json:"imageId"`
}

// MarshalJSON implements json.Marshaler.
func (b BinaryBlobVolumeRef) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ArtifactMetadata string      `json:"artifactMetaData"`
		EncArtifactMeta  cipherBlock `json:"encArtifactMeta"`
		FileMetadata     string      `json:"fileMetaData"`
		FileName         string      `json:"fileName"`
		ImageID          string      `json:"imageId"`
		ImageName        string      `json:"imageName"`
	}{b.ArtifactMetadata, newCipherBlock(b.EncArtifactMeta), b.FileMetadata, b.FileName, b.ImageID, b.ImageName})
}

// BlobEncrytedType says which of a BinaryCipherBlob's fields holds the file. The spelling is EVE's.
type BlobEncrytedType int8

// Values of BlobEncrytedType.
const (
	BlobEncrytedTypeNone BlobEncrytedType = iota
	BlobEncrytedTypeInline
	BlobEncrytedTypeVolume
)

// String returns the value's name.
func (t BlobEncrytedType) String() string {
	return enumName(t, "BlobEncrytedType", 0, "None", "Inline", "Volume")
}

// BinaryCipherBlob is an encrypted file of a patch envelope.
// In JSON its keys are sorted, and an empty EncArtifactMeta is {}.
type BinaryCipherBlob struct {
	EncType          BlobEncrytedType     `json:"encType"`
	ArtifactMetaData string               `json:"artifactMetaData"` // base64, about what the file is part of
	EncArtifactMeta  CipherBlockStatus    `json:"encArtifactMeta"`  // the same, encrypted
	EncURL           string               `json:"encURL"`           // path on the device
	EncFileName      string               `json:"encFileName"`
	Inline           *BinaryBlobCompleted `json:"inline"` // once decrypted
	Volume           *BinaryBlobVolumeRef `json:"volume"` // once decrypted
}

// MarshalJSON implements json.Marshaler.
func (b BinaryCipherBlob) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ArtifactMetaData string               `json:"artifactMetaData"`
		EncArtifactMeta  cipherBlock          `json:"encArtifactMeta"`
		EncFileName      string               `json:"encFileName"`
		EncType          BlobEncrytedType     `json:"encType"`
		EncURL           string               `json:"encURL"`
		Inline           *BinaryBlobCompleted `json:"inline"`
		Volume           *BinaryBlobVolumeRef `json:"volume"`
	}{b.ArtifactMetaData, newCipherBlock(b.EncArtifactMeta), b.EncFileName, b.EncType, b.EncURL, b.Inline, b.Volume})
}

// cipherBlock is a CipherBlockStatus whose JSON is {} when there is none.
type cipherBlock struct {
	*CipherBlockStatus
}

// newCipherBlock returns the cipherBlock of c, with nothing in it when c is the zero value.
func newCipherBlock(c CipherBlockStatus) cipherBlock {
	if reflect.DeepEqual(c, CipherBlockStatus{}) {
		return cipherBlock{}
	}
	return cipherBlock{&c}
}
