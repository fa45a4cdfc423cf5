// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/lf-edge/eve-api/go/config"
)

const pathV1 = "/api/v1/edgedevice/"

// exchangeV1 asks a controller by version 1 of the API: TLS says who both are, and messages have no envelope.
func (s *session) exchangeV1(ctx context.Context) error {
	message, err := s.askV1(ctx)
	if err != nil {
		return fmt.Errorf("ask for the configuration: %w", err)
	}
	if message == nil {
		s.confirm()
		return nil
	}
	if err := s.take(message, message); err != nil {
		return err
	}
	s.device, err = uuid.Parse(s.response.GetConfig().GetId().GetUuid())
	return err
}

// askV1 returns a ConfigResponse, or nil when the configuration is the one in force.
func (s *session) askV1(ctx context.Context) ([]byte, error) {
	body, err := proto.Marshal(&config.ConfigRequest{ConfigHash: s.response.GetConfigHash()})
	if err != nil {
		return nil, err
	}
	a, err := s.link.do(ctx, request{method: http.MethodPost, path: pathV1 + "config", body: body, limit: maxConfig})
	if err != nil {
		return nil, err
	}
	switch {
	case a.status == http.StatusNotModified && s.response != nil:
		return nil, nil
	case a.status == http.StatusMethodNotAllowed:
		return s.askWhole(ctx)
	}
	return a.body, a.success()
}

// askWhole asks a controller that knows of no hashes: its answer is the bare configuration, every time.
func (s *session) askWhole(ctx context.Context) ([]byte, error) {
	a, err := s.link.do(ctx, request{method: http.MethodGet, path: pathV1 + "config", limit: maxConfig})
	if err != nil {
		return nil, err
	}
	if err := a.success(); err != nil {
		return nil, err
	}
	c := &config.EdgeDevConfig{}
	if err := proto.Unmarshal(a.body, c); err != nil {
		return nil, errors.New("the answer is not a message of EVE's API")
	}
	return proto.Marshal(&config.ConfigResponse{Config: c})
}
