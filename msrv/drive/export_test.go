// SPDX-License-Identifier: Apache-2.0

package drive

// Retry tries failed writes now instead of when their time has come.
func (k *Keeper) Retry() { k.retry() }
