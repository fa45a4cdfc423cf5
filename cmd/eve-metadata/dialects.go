// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/cloudstack"
	"github.com/lf-edge/eve-metadata/msrv/dialect/ec2"
	"github.com/lf-edge/eve-metadata/msrv/dialect/eve"
	"github.com/lf-edge/eve-metadata/msrv/dialect/nocloud"
	"github.com/lf-edge/eve-metadata/msrv/dialect/openstack"
)

// dialects are all clouds that guests may speak of. Their guards are asked, and their trees laid over one another, in this
// order.
func dialects() []dialect.Dialect {
	return []dialect.Dialect{openstack.Dialect(), ec2.Dialect(), nocloud.Dialect(), cloudstack.Dialect()}
}

// served are the dialects of a service that knows its node: EVE's own as well. On an EVE device the drives are as EVE makes
// them.
func served(node eve.Config, device bool) []dialect.Dialect {
	all := append(dialects(), eve.Dialect(node))
	if device {
		for i := range all {
			if all[i].Name == nocloud.Name {
				all[i].Drive = nocloud.EVEDrive()
			}
		}
	}
	return all
}
