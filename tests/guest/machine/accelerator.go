// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/lf-edge/eve-metadata/tests/guest/image"
)

// accelerator are the arguments for the fastest way to run the image's kernel here.
func accelerator(ctx context.Context, i *image.Image) []string {
	switch {
	case i.Arch == "aarch64":
		return []string{"-machine", "virt", "-cpu", "cortex-a72", "-accel", "tcg"}
	case kvm(ctx, i):
		return []string{"-accel", "kvm", "-cpu", "host"}
	}
	return []string{"-accel", "tcg,thread=multi,tb-size=256"} // MiB; without a limit it takes a gigabyte
}

// kvmStarts is how long a kernel may take under KVM until it says that it is there, which it does at once where it works.
const kvmStarts = 5 * time.Second

var (
	kvmOnce  sync.Once
	kvmWorks bool
)

// kvm tells whether the image's kernel starts under this machine's KVM: one that is there need not run every kernel.
func kvm(ctx context.Context, i *image.Image) bool {
	kvmOnce.Do(func() {
		if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err != nil || f.Close() != nil {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, kvmStarts)
		defer cancel()
		cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-nodefaults", "-display", "none",
			"-no-reboot", "-serial", "stdio", "-m", "256", "-kernel", i.Kernel, "-append", "console=ttyS0 panic=-1")
		cmd.WaitDelay = time.Second
		out, _ := cmd.Output() // it is stopped, or has no root filesystem
		kvmWorks = strings.Contains(string(out), "Linux version")
	})
	return kvmWorks
}

// Accelerator says how the image's guests run here: KVM or TCG.
func Accelerator(ctx context.Context, i *image.Image) string {
	if i.Arch == "x86_64" && kvm(ctx, i) {
		return "KVM"
	}
	return "TCG"
}
