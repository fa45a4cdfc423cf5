// SPDX-License-Identifier: Apache-2.0

// Package auth has the signed, and sometimes encrypted, envelope of every
// message between a device and its controller.
package auth
