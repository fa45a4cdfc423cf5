// SPDX-License-Identifier: Apache-2.0

package httpd

// Allow counts a request of an instance.
func (l *Limits) Allow(uuid string) bool { return l.allow(uuid) }

// Len is how many instances are kept.
func (l *Limits) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.instances)
}
