// SPDX-License-Identifier: Apache-2.0

// Package attest has the messages by which a device proves to its controller
// what software it runs, before it is given its configuration.
package attest
