// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/cloudstack"
	"github.com/lf-edge/eve-metadata/msrv/dialect/ec2"
	"github.com/lf-edge/eve-metadata/msrv/dialect/nocloud"
	"github.com/lf-edge/eve-metadata/msrv/dialect/openstack"
)

// dialects are all that guests may speak. The first that answers a path is the one that is heard.
func dialects() []dialect.Dialect {
	return []dialect.Dialect{openstack.Dialect(), ec2.Dialect(), nocloud.Dialect(), cloudstack.Dialect()}
}
