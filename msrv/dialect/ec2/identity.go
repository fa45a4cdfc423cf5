// SPDX-License-Identifier: Apache-2.0

package ec2

import (
	"fmt"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// identityVersion is the version of the identity document that this is.
const identityVersion = "2017-09-30"

// identity is the instance identity document with what is known. There is nobody to sign it, so that the
// signatures that EC2 has beside it are not there.
type identity struct {
	AccountID        string `json:"accountId,omitempty"`
	Architecture     string `json:"architecture,omitempty"`
	AvailabilityZone string `json:"availabilityZone,omitempty"`
	ImageID          string `json:"imageId,omitempty"`
	InstanceID       string `json:"instanceId"`
	InstanceType     string `json:"instanceType,omitempty"`
	PrivateIP        string `json:"privateIp,omitempty"`
	Region           string `json:"region,omitempty"`
	Version          string `json:"version"`
}

// dynamic is the directory dynamic, which has the identity document alone.
func dynamic(in *instance.Instance) (entry, error) {
	doc, err := document.JSON(identity{
		AccountID:        dialect.Word(in.ProjectID),
		Architecture:     architecture(in.Architecture),
		AvailabilityZone: dialect.Word(in.AvailabilityZone),
		ImageID:          imageID(in),
		InstanceID:       instanceID(in),
		InstanceType:     dialect.Word(in.InstanceType),
		PrivateIP:        dialect.FirstIPv4(in),
		Region:           dialect.Word(in.Region),
		Version:          identityVersion,
	})
	if err != nil {
		return entry{}, fmt.Errorf("instance identity document: %w", err)
	}
	file := entry{name: "document", file: document.File(doc)}
	return directory("2009-04-04", "dynamic", directory("", "instance-identity", file)), nil
}

// architecture is a processor's in EC2's words; "" for one that EC2 has none for.
func architecture(goarch string) string {
	return map[string]string{"386": "i386", "amd64": "x86_64", "arm64": "arm64"}[goarch]
}
