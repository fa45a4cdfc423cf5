// SPDX-License-Identifier: Apache-2.0

package program

import (
	"context"
	"io"

	"github.com/sirupsen/logrus"

	"github.com/lf-edge/eve-metadata/nim"
	"github.com/lf-edge/eve-metadata/pkg/endpoint"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
)

// Clean takes away the app networks of a service that has ended, whether or not it was asked to.
func Clean(ctx context.Context, root string) error {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return nim.Remove(ctx, nim.Config{
		Driver: &socket.Driver{Root: root}, Root: root, Board: endpoint.NewBoard(), Log: log,
	})
}
