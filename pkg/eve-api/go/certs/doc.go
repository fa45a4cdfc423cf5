// SPDX-License-Identifier: Apache-2.0

// Package certs has the certificates of controllers and devices as the device
// protocol carries them.
package certs
