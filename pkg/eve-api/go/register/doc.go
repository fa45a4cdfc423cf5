// SPDX-License-Identifier: Apache-2.0

// Package register has the first message of a device to its controller.
package register
