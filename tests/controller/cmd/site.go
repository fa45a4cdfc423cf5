// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/google/uuid"
	"github.com/lf-edge/eve-api/go/config"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/lf-edge/eve-metadata/tests/controller"
)

// site is a controller whose things are in a folder.
type site struct {
	folder     string
	log        *log.Logger
	controller *controller.Controller

	mu   sync.Mutex
	told string // what was wrong with the configuration last
}

// start makes what the folder does not have yet, and listens.
func (s *site) start(ctx context.Context, listen string) error {
	pki, err := s.pki(listen)
	if err != nil {
		return err
	}
	s.controller, err = controller.New(controller.Config{
		PKI:    pki,
		Listen: func() (net.Listener, error) { return new(net.ListenConfig).Listen(ctx, "tcp", listen) },
		Log:    func(r controller.Request) { s.log.Print(r) },
	})
	if err != nil {
		return err
	}
	s.controller.Expect(pki.Onboard.Cert, controller.AnySerial) // of nodes that did not come from here
	s.controller.Vary(controller.Settings, s.reread)
	if err := s.controller.Start(); err != nil {
		return err
	}
	if err := s.node(); err != nil {
		return errors.Join(err, s.controller.Stop())
	}
	return nil
}

// pki loads the keys, or makes some, for the host that is listened at.
func (s *site) pki(listen string) (*controller.PKI, error) {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, err
	}
	dir := s.path("pki")
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return controller.LoadPKI(dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	pki, err := controller.NewPKI(host)
	if err != nil {
		return nil, err
	}
	return pki, pki.Save(dir)
}

// node makes the files of a node, at the first start, and lets the node in. It has the same name each time: what a
// controller knows about its nodes does not outlive it.
func (s *site) node() error {
	file := s.path("node/config/device.cert.pem")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		if err := s.controller.Provision(s.path("node"), "node"); err != nil {
			return err
		}
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return fmt.Errorf("%s: not a PEM file", file)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	s.controller.Add(uuid.NewSHA1(uuid.NameSpaceOID, cert.Raw), cert)
	return nil
}

// reread has a node that asks for its configuration get what the file says now. What cannot be read is told once, and what
// was in force stays.
func (s *site) reread(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		if err := s.load(); err != nil && err.Error() != s.told {
			s.told = err.Error()
			s.log.Print(err)
		}
		s.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

// load reads config.json, in protobuf's JSON, or config.pb.
func (s *site) load() error {
	cfg := &config.EdgeDevConfig{}
	file, decode := s.path("config.json"), protojson.Unmarshal
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		file, decode = s.path("config.pb"), proto.Unmarshal
		text, err = os.ReadFile(file)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is neither %s nor config.pb", s.path("config.json"))
	}
	if err != nil {
		return err
	}
	if err := decode(text, cfg); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	s.told = ""
	return s.controller.SetConfig(uuid.Nil, cfg)
}

// advice is how to start what is told by this controller.
func (s *site) advice() string {
	return fmt.Sprintf("eve-metadata feed controller --server %s --root %q", s.controller.Addr(), s.path("node"))
}

func (s *site) path(name string) string { return filepath.Join(s.folder, name) }
