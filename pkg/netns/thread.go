// SPDX-License-Identifier: Apache-2.0

package netns

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// onThread runs f on a thread that nothing else runs on, before or after: the runtime ends a thread whose goroutine ends
// while it is locked to it.
//
// The process's main thread is the exception. The runtime can not end it but parks it for good, as it then is: /proc of
// the process would show f's namespace, and the namespace would never go away. When the goroutine happens to be on it, it
// holds on to that thread, so that another goroutine must get another one.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			done <- onThread(f)
			runtime.UnlockOSThread()
			return
		}
		done <- f()
	}()
	return <-done
}
