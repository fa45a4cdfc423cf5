// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/cloudstack"
	"github.com/lf-edge/eve-metadata/msrv/dialect/ec2"
	"github.com/lf-edge/eve-metadata/msrv/dialect/nocloud"
	"github.com/lf-edge/eve-metadata/msrv/dialect/openstack"
)

// dialects are all that guests may speak. Their guards are asked, and their trees laid over one another, in
// this order.
func dialects() []dialect.Dialect {
	return []dialect.Dialect{openstack.Dialect(), ec2.Dialect(), nocloud.Dialect(), cloudstack.Dialect()}
}
