// SPDX-License-Identifier: Apache-2.0

package ec2

// NewGuard is a guard with a clock of the test's.
var NewGuard = newGuard
