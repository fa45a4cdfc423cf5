// SPDX-License-Identifier: Apache-2.0

package patch

// What tests look at.
var (
	DecodeBlock = decodeBlock
	IsFileName  = isFileName
)

// Times that tests wait for.
const (
	LookInterval = lookInterval
	RetryAfter   = retryAfter
)
