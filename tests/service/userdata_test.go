// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/lf-edge/eve-api/go/config"

	"github.com/lf-edge/eve-metadata/tests/tool"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// userData: what the user wrote is what the guest reads, byte for byte, whatever it is and by whichever
// way.
//
// Network: one, with an app for each kind of user data, all with drives.
//
// Phases: read as each app by each dialect, and from its drive.
func userData(t *testing.T, binary string) {
	tool.Need(t, "bsdtar", "libarchive-tools")
	data := map[string][]byte{
		"binary":  allBytes(300 << 10),
		"gzip":    zipped("#cloud-config\ntimezone: UTC\n"),
		"empty":   {},
		"crlf":    []byte("#cloud-config\r\ntimezone: UTC\r\n\r\n"),
		"bom":     []byte("\xef\xbb\xbf#cloud-config\n"),
		"zeros":   {0, 0, 0, 0},
		"latin1":  []byte("#cloud-config\n# gr\xfc\xdfe\n"),
		"newline": []byte("\n"),
	}
	files := map[string]string{"net.yaml": world.NetYAML("net", "10.11.12.0/24")}
	for name, body := range data {
		files["data/"+name] = string(body)
		files[name+".yaml"] = world.AppYAML(name, "net", "dhcp", "metadataType: drive", "userDataFile: data/"+name)
	}
	w := newScene(t, binary, files)
	w.Start()
	for name, body := range data {
		g := w.guest(name)
		for _, path := range userDataPaths() {
			a, err := g.ask(path)
			if err != nil {
				t.Errorf("%s asks %s: %v", name, path, err)
				continue
			}
			status := http.StatusOK
			if name == "empty" && filepath.Dir(path) != "/nocloud" {
				status = http.StatusNotFound // as in these clouds: nothing is not there
				a.Body = ""
			}
			if a.Status != status || a.Body != string(body) {
				t.Errorf("%s asks %s: status %d, %d bytes; want %d, the %d bytes of the file", name, path, a.Status, len(a.Body), status, len(body))
			}
		}
		if got, err := w.OnDrive(world.UUIDOf(name), "user-data"); err != nil || !bytes.Equal(got, body) {
			t.Errorf("on the drive of %s: %d bytes, %v; want the %d bytes of the file", name, len(got), err, len(body))
		}
	}
}

// allBytes makes data that has every byte value next to many others.
func allBytes(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i * (1 + i>>8))
	}
	return data
}

func zipped(text string) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	_, err := z.Write([]byte(text))
	if err := errors.Join(err, z.Close()); err != nil {
		panic(err) // memory does not fail
	}
	return buf.Bytes()
}

// deviceConfigs: a folder may hold what a controller sends, as text and in binary. User data that is
// there and cannot be read is an error that everybody sees: a guest would take an empty answer for the
// word that there is nothing to do, and never ask again.
//
// Network: one from each config. In the first one's, one app's user data is not base64, one's is
// encrypted for keys that are not here, and one's is fine.
//
// Phases: read as each; mend the first config, and read again.
func deviceConfigs(t *testing.T, binary string) {
	const network = "5f0c2d4e-8a36-4c55-9c0e-2f6d1b7a9e10"
	first := device(network,
		deviceApp("fine", network, `"userData": `+base64JSON("I am fine")),
		deviceApp("rotten", network, `"userData": "%% not base64"`),
		deviceApp("sealed", network, `"cipherData": {"cipherContextId": "6f1f6a4c-77a2-5a5b-9c55-1f4f3c2b1a00", "cipherData": "/6YfpMXID/7yuacSuwfuFw==", "initialValue": "WILPwk636kXp5eYpgyH2Yg=="}`),
	)
	const other = "5f0c2d4e-8a36-4c55-9c0e-2f6d1b7a9e11"
	w := newScene(t, binary, map[string]string{
		"a.json": first,
		"b.pb":   inBinary(t, device(other, deviceApp("second", other, `"userData": `+base64JSON("I am second")))),
	})
	w.Start()
	fine, second := w.guest("fine"), w.guest("second")
	for _, path := range userDataPaths() {
		world.Must(t, fine.expect(path, http.StatusOK, "I am fine"), second.expect(path, http.StatusOK, "I am second"))
	}
	for _, name := range []string{"fine", "second"} {
		if w.Drive(world.UUIDOf(name)) == nil {
			t.Errorf("%s has no drive", name)
		}
	}
	rotten, sealed := w.guest("rotten"), w.guest("sealed")
	for _, g := range []*guest{rotten, sealed} {
		name := g.app
		for _, path := range userDataPaths() {
			world.Must(t, g.expect(path, http.StatusInternalServerError, ""))
		}
		for _, path := range []string{"/openstack/latest/meta_data.json", "/latest/meta-data/instance-id", "/nocloud/meta-data"} {
			if a, err := g.ask(path); err != nil || a.Status != http.StatusOK || a.Body == "" {
				t.Errorf("%s asks %s: status %d, %v", name, path, a.Status, err)
			}
		}
		if w.Drive(world.UUIDOf(name)) != nil {
			t.Errorf("%s has a drive", name)
		}
		w.AwaitLog(map[string]any{"level": "error", "name": name, "msg": "user data cannot be served"})
		w.AwaitLog(map[string]any{"level": "error", "name": name, "msg": "drive not written"})
	}

	w.Save("a.json", device(network, deviceApp("rotten", network, `"userData": `+base64JSON("I am mended"))))
	w.Await("rotten to be mended", func() error {
		if w.Drive(world.UUIDOf("rotten")) == nil {
			return errors.New("it has no drive")
		}
		if apps := w.Apps(); len(apps) != 2 {
			return fmt.Errorf("there are %d apps", len(apps))
		}
		return nil
	})
	for _, path := range userDataPaths() {
		world.Must(t, rotten.expect(path, http.StatusOK, "I am mended"), second.expect(path, http.StatusOK, "I am second"))
	}
}

func base64JSON(text string) string {
	return `"` + base64.StdEncoding.EncodeToString([]byte(text)) + `"`
}

// device is an EdgeDevConfig with one network, in protobuf's JSON.
func device(network string, apps ...string) string {
	text := `{"networkInstances": [{"uuidandversion": {"uuid": "` + network + `", "version": "1"}, "displayname": "n", "instType": "ZnetInstLocal",
		"activate": true, "ipType": "IPV4", "ip": {"subnet": "10.11.12.0/24", "gateway": "10.11.12.1"}}], "apps": [`
	for i, app := range apps {
		if i > 0 {
			text += ", "
		}
		text += app
	}
	return text + `]}`
}

// deviceApp is a container in an EdgeDevConfig.
func deviceApp(name, network, data string) string {
	return `{"uuidandversion": {"uuid": "` + world.UUIDOf(name) + `", "version": "1"}, "displayname": "` + name + `", "activate": true,
		"fixedresources": {"virtualizationMode": "NOHYPER"}, "interfaces": [{"name": "eth0", "networkId": "` + network + `"}], ` + data + `}`
}

// inBinary is an EdgeDevConfig as it goes over the wire.
func inBinary(t *testing.T, text string) string {
	t.Helper()
	var c config.EdgeDevConfig
	if err := protojson.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	wire, err := proto.Marshal(&c)
	if err != nil {
		t.Fatal(err)
	}
	return string(wire)
}
