// SPDX-License-Identifier: Apache-2.0

// Package eveapi holds github.com/lf-edge/eve-api/go, whichever module the build
// takes for it, to what EVE devices and controllers have on the wire: a table of
// EVE's message descriptors, and bytes recorded between a device and a
// controller.
//
// Nothing here knows where that module lives, so that the same tests run when
// the replace line in go.mod points at EVE's own.
package eveapi_test

import (
	"flag"
	"os"
	"reflect"
	"testing"

	// Imported by the names that the packages have, so that a wrong one does
	// not compile. That also puts all their files into the global registry.
	"github.com/lf-edge/eve-api/go/attest"
	"github.com/lf-edge/eve-api/go/auth"
	"github.com/lf-edge/eve-api/go/certs"
	"github.com/lf-edge/eve-api/go/config"
	"github.com/lf-edge/eve-api/go/evecommon"
	"github.com/lf-edge/eve-api/go/eveuuid"
	"github.com/lf-edge/eve-api/go/info"
	"github.com/lf-edge/eve-api/go/profile"
	"github.com/lf-edge/eve-api/go/register"
	"google.golang.org/protobuf/proto"
)

// update makes the tests rewrite their golden files.
var update = flag.Bool("update", false, "rewrite the golden files")

// importPath is the module that is tested.
const importPath = "github.com/lf-edge/eve-api/go"

// TestGoPackages checks the names under which Go code finds the messages: the
// folder, the package and the type.
func TestGoPackages(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		message proto.Message
		folder  string
		name    string
	}{
		{&attest.ZAttestReq{}, "attest", "attest.ZAttestReq"},
		{&auth.AuthContainer{}, "auth", "auth.AuthContainer"},
		{&certs.ZControllerCert{}, "certs", "certs.ZControllerCert"},
		{&config.EdgeDevConfig{}, "config", "config.EdgeDevConfig"},
		{&config.WifiConfigCryptoblock{}, "config", "config.WifiConfigCryptoblock"},
		{&evecommon.CipherBlock{}, "evecommon", "evecommon.CipherBlock"},
		{&uuid.UuidResponse{}, "eveuuid", "uuid.UuidResponse"},
		{&info.ZInfoAppInstMetaData{}, "info", "info.ZInfoAppInstMetaData"},
		{&profile.LocalDevCmd{}, "profile", "profile.LocalDevCmd"},
		{&register.ZRegisterMsg{}, "register", "register.ZRegisterMsg"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := reflect.TypeOf(tc.message).Elem()
			if got.String() != tc.name || got.PkgPath() != importPath+"/"+tc.folder {
				t.Errorf("Go type is %s of %s, want %s of %s/%s",
					got, got.PkgPath(), tc.name, importPath, tc.folder)
			}
		})
	}
}

// read returns a file below testdata.
func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
