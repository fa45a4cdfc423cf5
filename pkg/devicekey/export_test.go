// SPDX-License-Identifier: Apache-2.0

package devicekey

import "time"

// SetPatience makes callers wait less for the TPM, or longer.
func (k *Keys) SetPatience(d time.Duration) { k.patience = d }

// SetPause makes the next callers wait for a TPM that gave no answer all the same, or not for longer.
func (k *Keys) SetPause(d time.Duration) { k.pause = d }
