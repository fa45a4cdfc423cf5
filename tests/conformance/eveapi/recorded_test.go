// SPDX-License-Identifier: Apache-2.0

package eveapi_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lf-edge/eve-api/go/attest"
	"github.com/lf-edge/eve-api/go/auth"
	"github.com/lf-edge/eve-api/go/certs"
	"github.com/lf-edge/eve-api/go/config"
	"github.com/lf-edge/eve-api/go/eveuuid"
	"github.com/lf-edge/eve-api/go/register"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
)

// exchanges are the bodies of testdata/exchange, each an AuthContainer, with the
// message that its payload is.
var exchanges = []struct {
	file    string
	payload proto.Message
}{
	{"01-certs.response", &certs.ZControllerCert{}},
	{"02-register-refused.request", &register.ZRegisterMsg{}},
	{"04-register.request", &register.ZRegisterMsg{}},
	{"05-uuid.request", &uuid.UuidRequest{}},
	{"05-uuid.response", &uuid.UuidResponse{}},
	{"06-config-none.request", &config.ConfigRequest{}},
	{"08-config-unattested.request", &config.ConfigRequest{}},
	{"09-attest-cert.request", &attest.ZAttestReq{}},
	{"09-attest-cert.response", &attest.ZAttestResponse{}},
	{"10-attest-nonce.request", &attest.ZAttestReq{}},
	{"10-attest-nonce.response", &attest.ZAttestResponse{}},
	{"11-attest-quote.request", &attest.ZAttestReq{}},
	{"11-attest-quote.response", &attest.ZAttestResponse{}},
	{"12-config.request", &config.ConfigRequest{}},
	{"12-config.response", &config.ConfigResponse{}},
	{"13-config-unchanged.request", &config.ConfigRequest{}},
	{"15-config-changed.request", &config.ConfigRequest{}},
	{"15-config-changed.response", &config.ConfigResponse{}},
}

// TestRecordedMessages decodes what a controller delivers outside of envelopes.
func TestRecordedMessages(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		file    string
		message proto.Message
	}{
		{"config.pb", &config.EdgeDevConfig{}},
		{"certs.pb", &certs.ZControllerCert{}},
	} {
		t.Run(tc.file, func(t *testing.T) {
			t.Parallel()
			m := tc.message.ProtoReflect().New().Interface()
			roundTrip(t, read(t, tc.file), m)
			golden(t, tc.file+".golden.json", m)
		})
	}
}

// TestRecordedExchanges decodes the envelopes of a device's way from its
// registration to its configuration, and what is in them.
func TestRecordedExchanges(t *testing.T) {
	t.Parallel()
	for _, tc := range exchanges {
		t.Run(tc.file, func(t *testing.T) {
			t.Parallel()
			var envelope auth.AuthContainer
			roundTrip(t, read(t, "exchange/"+tc.file), &envelope)
			if n := len(envelope.GetSenderCertHash()); n != 0 && n != sha256.Size {
				t.Errorf("senderCertHash has %d bytes, want none or %d", n, sha256.Size)
			}
			m := tc.payload.ProtoReflect().New().Interface()
			roundTrip(t, envelope.GetProtectedPayload().GetPayload(), m)
			golden(t, "exchange/"+tc.file+".golden.json", m)
		})
	}
}

// TestRecordedExchangesAreAllUsed fails when a recorded body is in no test.
func TestRecordedExchangesAreAllUsed(t *testing.T) {
	t.Parallel()
	var want, got []string
	for _, x := range exchanges {
		want = append(want, x.file)
	}
	files, err := os.ReadDir("testdata/exchange")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if filepath.Ext(f.Name()) != ".json" {
			got = append(got, f.Name())
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("recorded bodies (-want +got):\n%s", diff)
	}
}

// TestConfigAsGoJSON reads a configuration in the form in which the Adam
// controller takes it from its administrator: the Go struct through
// encoding/json, by its struct tags. What Adam then delivered must be the same,
// and so must the hash that Adam takes of the struct's JSON.
func TestConfigAsGoJSON(t *testing.T) {
	t.Parallel()
	var want config.EdgeDevConfig
	dec := json.NewDecoder(bytes.NewReader(read(t, "config-put.json")))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&want); err != nil {
		t.Fatal(err)
	}
	var envelope auth.AuthContainer
	var got config.ConfigResponse
	unmarshal(t, read(t, "exchange/12-config.response"), &envelope)
	unmarshal(t, envelope.GetProtectedPayload().GetPayload(), &got)

	// Adam adds this one to what it was given.
	want.ControllercertConfighash = got.GetConfig().GetControllercertConfighash()
	if diff := cmp.Diff(&want, got.GetConfig(), protocmp.Transform()); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	b, err := json.Marshal(got.GetConfig())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	if hash := base64.URLEncoding.EncodeToString(sum[:]); hash != got.GetConfigHash() {
		t.Errorf("hash of the JSON is %s, want %s; the JSON is %s", hash, got.GetConfigHash(), b)
	}
}

// TestFindUnknownLooksEverywhere checks the checker: a field that no message
// has, put into each place where messages can be.
func TestFindUnknownLooksEverywhere(t *testing.T) {
	t.Parallel()
	unknown := protowire.AppendTag(nil, 9999, protowire.VarintType)
	unknown = protowire.AppendVarint(unknown, 1)
	for _, tc := range []struct {
		name  string
		place func(*config.EdgeDevConfig) proto.Message
		want  []string
	}{
		{"nowhere", func(*config.EdgeDevConfig) proto.Message { return nil }, nil},
		{"root", func(c *config.EdgeDevConfig) proto.Message { return c },
			[]string{"(org.lfedge.eve.config.EdgeDevConfig)"}},
		{"field", func(c *config.EdgeDevConfig) proto.Message { return c.GetId() },
			[]string{"(org.lfedge.eve.config.EdgeDevConfig).id"}},
		{"list", func(c *config.EdgeDevConfig) proto.Message { return c.GetApps()[1].GetInterfaces()[0] },
			[]string{"(org.lfedge.eve.config.EdgeDevConfig).apps[1].interfaces[0]"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var c config.EdgeDevConfig
			unmarshal(t, read(t, "config.pb"), &c)
			if m := tc.place(&c); m != nil {
				m.ProtoReflect().SetUnknown(unknown)
			}
			if diff := cmp.Diff(tc.want, findUnknown(t, &c)); diff != "" {
				t.Errorf("messages with unknown fields (-want +got):\n%s", diff)
			}
		})
	}
}

// unmarshal decodes b into m.
func unmarshal(t *testing.T, b []byte, m proto.Message) {
	t.Helper()
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatalf("decode %s: %v", m.ProtoReflect().Descriptor().FullName(), err)
	}
}

// roundTrip decodes wire into m. It fails the test if anything in it has no
// field to go to, or if m does not encode to the same bytes: Go peers wrote
// them, in the order of field numbers.
func roundTrip(t *testing.T, wire []byte, m proto.Message) {
	t.Helper()
	unmarshal(t, wire, m)
	if found := findUnknown(t, m); len(found) > 0 {
		t.Errorf("unknown fields in %s", strings.Join(found, ", "))
	}
	got, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fmt.Sprintf("%x", wire), fmt.Sprintf("%x", got)); diff != "" {
		t.Errorf("encoded again (-want +got):\n%s", diff)
	}
}

// findUnknown returns the paths of all messages in m, itself among them, that
// hold fields which their descriptor does not know.
func findUnknown(t *testing.T, m proto.Message) []string {
	t.Helper()
	var found []string
	err := protorange.Range(m.ProtoReflect(), func(v protopath.Values) error {
		if m, ok := v.Index(-1).Value.Interface().(protoreflect.Message); ok && len(m.GetUnknown()) > 0 {
			found = append(found, v.Path.String())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// golden compares m as JSON with a file below testdata, or writes that file.
func golden(t *testing.T, name string, m proto.Message) {
	t.Helper()
	b, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	// protojson varies its white space on purpose; Indent replaces all of it.
	var got bytes.Buffer
	if err := json.Indent(&got, b, "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	if *update {
		if err := os.WriteFile("testdata/"+name, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(read(t, name)), got.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}
