// SPDX-License-Identifier: Apache-2.0

package eve_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// TestNewerEVE checks that a value of a newer EVE is read: fields that are not known are left out, numbers without a
// name are kept, and fields that an older EVE lacks are empty.
func TestNewerEVE(t *testing.T) {
	t.Parallel()
	const data = `{"DisplayName":"web-gw","MetaDataType":9,"DeploymentType":7,"FromTheFuture":{"a":[1]}}`
	var got eve.AppNetworkConfig
	if err := json.Unmarshal([]byte(data), &got); err != nil {
		t.Fatalf("unmarshal: %v", err)
	}
	want := eve.AppNetworkConfig{DisplayName: "web-gw", MetaDataType: 9, DeploymentType: 7}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("AppNetworkConfig (-want +got):\n%s", diff)
	}
}

// TestHiddenFields checks that fields of a network instance's status that have the name of one of its configuration
// are the status's, in JSON and in Go.
func TestHiddenFields(t *testing.T) {
	t.Parallel()
	const data = `{"UUID":"a77d0c1e-1c36-4b1d-8a54-3c1b6b0e1001","Version":"3","Activate":1,"MTU":1400,"Error":"no port"}`
	var got eve.NetworkInstanceStatus
	if err := json.Unmarshal([]byte(data), &got); err != nil {
		t.Fatalf("unmarshal: %v", err)
	}
	if got.Activate != 1 || got.MTU != 1400 || got.Error != "no port" {
		t.Errorf("status has Activate %d, MTU %d, Error %q", got.Activate, got.MTU, got.Error)
	}
	if got.Version != "3" {
		t.Errorf("Version is %q, want 3", got.Version)
	}
	config := got.NetworkInstanceConfig
	if config.Activate || config.MTU != 0 || config.Error != "" {
		t.Errorf("config has Activate %t, MTU %d, Error %q", config.Activate, config.MTU, config.Error)
	}
}

// TestInvalid checks that a value which is not of its topic is an error.
func TestInvalid(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, data string }{
		{"UUID", `{"UUIDandVersion":{"UUID":"c1a40e7b"}}`},
		{"IP address", `{"GetStatsIPAddr":"10.11.12"}`},
		{"MAC address as text", `{"AppNetAdapterList":[{"AppMacAddr":"02:16:3e:10:20:30"}]}`},
		{"enumeration as text", `{"MetaDataType":"MetaDataOpenStack"}`},
		{"number too big", `{"MetaDataType":256}`},
		{"no object", `[]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var value eve.AppNetworkConfig
			if err := json.Unmarshal([]byte(tt.data), &value); err == nil {
				t.Errorf("%s was read as %+v", tt.data, value)
			}
		})
	}
}

// TestPatchEnvelopeBlobs checks the marshalling of the types that sort their keys and leave out an empty cipher block.
func TestPatchEnvelopeBlobs(t *testing.T) {
	t.Parallel()
	const block = `{"CipherBlockID":"b1","CipherContextID":"","InitialValue":null,"pubsub-large-CipherData":"AAE=",` +
		`"ClearTextHash":null,"IsCipher":true,"CipherContext":null,"Error":"","ErrorTime":"0001-01-01T00:00:00Z",` +
		`"ErrorSeverity":0,"ErrorRetryCondition":"","ErrorEntities":null}`
	encrypted := eve.CipherBlockStatus{CipherBlockID: "b1", CipherData: []byte{0, 1}, IsCipher: true}
	blob := eve.BinaryBlobCompleted{
		FileName: "cfg.bin", FileSha: "9f86", FileMetadata: "bWV0YQ==", ArtifactMetadata: "YXJ0", URL: "/persist/cfg.bin", Size: 4,
	}
	const blobJSON = `{"artifactMetaData":"YXJ0","encArtifactMeta":{},"fileMetaData":"bWV0YQ==","fileName":"cfg.bin",` +
		`"fileSha":"9f86","size":4,"url":"/persist/cfg.bin"}`
	volume := eve.BinaryBlobVolumeRef{
		FileName: "cfg.bin", ImageName: "cfg", FileMetadata: "bWV0YQ==", ArtifactMetadata: "YXJ0", EncArtifactMeta: encrypted,
		ImageID: "i1",
	}
	const volumeJSON = `{"artifactMetaData":"YXJ0","encArtifactMeta":` + block + `,"fileMetaData":"bWV0YQ==",` +
		`"fileName":"cfg.bin","imageId":"i1","imageName":"cfg"}`
	tests := []struct {
		name  string
		value any
		read  any
		want  string
	}{
		{"blob", &blob, new(eve.BinaryBlobCompleted), blobJSON},
		{"volume", &volume, new(eve.BinaryBlobVolumeRef), volumeJSON},
		{
			"cipher blob not yet decrypted", &eve.BinaryCipherBlob{EncType: eve.BlobEncrytedTypeInline, EncURL: "/persist/c"},
			new(eve.BinaryCipherBlob), `{"artifactMetaData":"","encArtifactMeta":{},"encFileName":"","encType":1,` +
				`"encURL":"/persist/c","inline":null,"volume":null}`,
		},
		{
			"cipher blob decrypted", &eve.BinaryCipherBlob{EncArtifactMeta: encrypted, Inline: &blob, Volume: &volume},
			new(eve.BinaryCipherBlob), `{"artifactMetaData":"","encArtifactMeta":` + block + `,"encFileName":"","encType":0,` +
				`"encURL":"","inline":` + blobJSON + `,"volume":` + volumeJSON + `}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			data, err := json.Marshal(tt.value)
			if err != nil {
				t.Fatalf("marshal: %v", err)
			}
			if diff := cmp.Diff(tt.want, string(data)); diff != "" {
				t.Errorf("JSON (-want +got):\n%s", diff)
			}
			if err := json.Unmarshal(data, tt.read); err != nil {
				t.Fatalf("unmarshal: %v", err)
			}
			if diff := cmp.Diff(tt.value, tt.read); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEmptyCipherBlockKeepsErrors checks that a cipher block with nothing but an error is not taken for an empty one.
func TestEmptyCipherBlockKeepsErrors(t *testing.T) {
	t.Parallel()
	var want eve.BinaryBlobCompleted
	want.EncArtifactMeta.Error = "no certificate"
	want.EncArtifactMeta.ErrorTime = time.Date(2026, time.May, 4, 3, 2, 1, 987654321, time.UTC)
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatalf("marshal: %v", err)
	}
	var got eve.BinaryBlobCompleted
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatalf("unmarshal: %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}
