// SPDX-License-Identifier: Apache-2.0

package image

// Images without a disk: BusyBox, Debian's cloud kernel, and a client of metadata that is a shell script (see shell/client).
const (
	ShellAMD64 = "shell-amd64"
	ShellARM64 = "shell-arm64"
)
