// SPDX-License-Identifier: Apache-2.0

// Package profile has the commands that an operator on site gives to a device.
package profile
