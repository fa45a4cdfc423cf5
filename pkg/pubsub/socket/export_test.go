// SPDX-License-Identifier: Apache-2.0

package socket

import "time"

// SetTimes replaces waits that are not zero. Redial is the wait before a
// publisher is tried again without a sign of it.
func (d *Driver) SetTimes(write, resync, redial time.Duration) {
	d.times = times{write: write, resync: resync, redial: redial}
}

// SetStale replaces StaleLarge.
func (d *Driver) SetStale(age time.Duration) { d.times.stale = age }

// StaleLarge is the age at which a publisher removes large-field files.
const StaleLarge = staleLarge

// WithAddress gives a socket's path a length that the kernel takes.
var WithAddress = withAddress

// ReadLarge and RemoveLarge handle a large field's file as a subscription does.
var (
	ReadLarge   = readLarge
	RemoveLarge = removeLarge
)
