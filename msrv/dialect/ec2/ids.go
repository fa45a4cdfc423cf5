// SPDX-License-Identifier: Apache-2.0

package ec2

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// idDigits is how many hexadecimal digits EC2's resource ids have after their prefix.
const idDigits = 17

// resourceID is an id in EC2's form that is derived from what it identifies; "" for nothing.
func resourceID(prefix, of string) string {
	if of == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(of))
	return prefix + hex.EncodeToString(sum[:])[:idDigits]
}

// instanceID changes exactly with the identity of the instance, so that a guest does its first-boot work
// when the controller says so. CirrOS waits for an id that starts with "i-".
func instanceID(in *instance.Instance) string { return resourceID("i-", in.ID()) }

// reservationID names the launch of an instance, which a new version of its configuration is not.
func reservationID(in *instance.Instance) string { return resourceID("r-", in.UUID) }

// imageID stands for the image.
func imageID(in *instance.Instance) string { return resourceID("ami-", in.Image) }

// interfaceID stands for a card of one instance: others may have cards with the same address.
func interfaceID(in *instance.Instance, a *instance.Adapter) string {
	return resourceID("eni-", in.UUID+"/"+a.MAC.String())
}

// subnetID and vpcID both stand for an app network, which has one subnet.
func subnetID(a *instance.Adapter) string { return resourceID("subnet-", a.Network) }

func vpcID(a *instance.Adapter) string { return resourceID("vpc-", a.Network) }
