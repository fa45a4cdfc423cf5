// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/lf-edge/eve-api/go/certs"
	"github.com/lf-edge/eve-api/go/config"
	"github.com/lf-edge/eve-metadata/pkg/atomicfile"
	"github.com/lf-edge/eve-metadata/pkg/envelope"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/share"
)

const (
	// stateFolder has what a run leaves for the next one, below the root.
	stateFolder = "/persist/" + eve.AgentFeed + "/controller"
	stateFile   = "checkpoint.json"
	// temporary is how the names of files begin that are not whole yet.
	temporary = ".checkpoint-"
)

// checkpoint is a configuration as it is kept: in one file, so that no part of it is another one's. It has no secret in
// the clear that the controller has not sent in the clear.
type checkpoint struct {
	API      int
	Received time.Time
	// Message is as it came: in version 2 an AuthContainer, in version 1 a ConfigResponse.
	Message []byte
	// Certs is the ZControllerCert whose signing certificate signed the message.
	Certs []byte `json:",omitempty"`
	// Retired is a ZControllerCert of others that user data in the message is encrypted with. They are not checked but by
	// their hashes, by which the message names them.
	Retired []byte `json:",omitempty"`
}

// save keeps what is in force.
func (s *session) save() error {
	if err := s.write(); err != nil {
		return fmt.Errorf("keep the configuration in %s: %w", s.stateFile(), err)
	}
	return nil
}

func (s *session) write() (err error) {
	if s.now.Retired, err = proto.Marshal(&certs.ZControllerCert{Certs: s.retired}); err != nil {
		return err
	}
	content, err := json.Marshal(s.now)
	if err != nil {
		return err
	}
	folder := filepath.Dir(s.stateFile())
	if err := share.Folder(folder, 0); err != nil {
		return err
	}
	if err := atomicfile.Replace(s.stateFile(), temporary, content); err != nil {
		return err
	}
	return atomicfile.SyncFolder(folder)
}

func (s *session) stateFile() string { return filepath.Join(s.cfg.Root, stateFolder, stateFile) }

// sweep removes files that a crash has left behind before they were whole.
func (s *session) sweep() {
	folder := filepath.Dir(s.stateFile())
	entries, _ := os.ReadDir(folder) // when there is no folder, there is nothing in it
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), temporary) {
			_ = os.Remove(filepath.Join(folder, e.Name())) // it only takes room
		}
	}
}

// restore puts in force what an earlier run kept, if there is something and it passes the checks of an answer.
func (s *session) restore() error {
	s.sweep()
	content, err := os.ReadFile(s.stateFile())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil:
		err = s.open(content)
	default:
		err = atomicfile.WithoutPath(err)
	}
	if err != nil {
		return fmt.Errorf("the configuration that was kept in %s: %w", s.stateFile(), err)
	}
	s.dirty = true
	return nil
}

// open reads a checkpoint's content.
func (s *session) open(content []byte) error {
	c := &checkpoint{}
	if err := json.Unmarshal(content, c); err != nil {
		return errors.New("it does not decode")
	}
	if c.API != s.cfg.API {
		return fmt.Errorf("it came by version %d of the API", c.API)
	}
	response, chain, err := s.verify(c)
	if err != nil {
		return err
	}
	var retired certs.ZControllerCert
	if err := proto.Unmarshal(c.Retired, &retired); err != nil {
		return errors.New("its old certificates do not decode")
	}
	device, err := uuid.Parse(response.GetConfig().GetId().GetUuid())
	if err != nil {
		return err
	}
	s.now, s.response, s.chain, s.retired, s.fromFile = c, response, chain, retired.GetCerts(), true
	if s.device == uuid.Nil {
		s.device = device
	}
	return nil
}

// verify returns what is in a checkpoint.
func (s *session) verify(c *checkpoint) (*config.ConfigResponse, *envelope.Chain, error) {
	if c.API == V1 {
		response, err := parseResponse(c.Message)
		return response, nil, err
	}
	roots, err := readRoots(s.cfg.RootCA)
	if err != nil {
		return nil, nil, err
	}
	chain, err := envelope.NewChain(c.Certs, roots, s.cfg.Now())
	if err != nil {
		return nil, nil, err
	}
	payload, err := chain.Open(c.Message)
	if err != nil {
		return nil, nil, err
	}
	response, err := parseResponse(payload)
	return response, chain, err
}
