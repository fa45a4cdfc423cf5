// SPDX-License-Identifier: Apache-2.0

package dnsmasq_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/lf-edge/eve-metadata/nim/dnsmasq"
)

// Where no file can be written, as on a full disk, the error is the same at every attempt: it is logged once then.
func TestSameErrorAgain(t *testing.T) {
	t.Parallel()
	log := logrus.New()
	log.SetOutput(io.Discard)
	problems := map[string]bool{}
	config := dnsmasq.Config{Dir: t.TempDir(), Binary: "true", Log: log}
	for name := range dual().Files("") {
		if err := os.MkdirAll(filepath.Join(config.Dir, "blue", name+"~"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		changed := make(chan struct{}, 1)
		config.Changed = func(string) { changed <- struct{}{} }
		k, err := dnsmasq.NewKeeper(config)
		if err != nil {
			t.Fatal(err)
		}
		k.Want("blue", dnsmasq.Namespace{}, dual())
		<-changed
		problems[k.State("blue").Error()] = true
		k.Close()
	}
	if len(problems) != 1 {
		t.Errorf("errors are many: %v", problems)
	}
}
