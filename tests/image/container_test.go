// SPDX-License-Identifier: Apache-2.0

package image_test

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/lf-edge/eve-metadata/tests/netns/guestns"
)

// container is a root filesystem, how a container of it is run, and what is run in it.
type container struct {
	root string
	as   runConfig
	run  execution
}

// process is a running container.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	log   bytes.Buffer // complete when ended is closed
	ended chan struct{}
	err   error // of the process, once ended is closed
}

// start runs a container on a device, of which it sees what the binds say. It is killed at the end of the test, at the
// latest.
func (c container) start(t *testing.T, device string, machine *guestns.Guest) *process {
	t.Helper()
	if c.as.Net != "host" || c.as.Pid != "host" || !slices.Equal(c.as.Capabilities, []string{"all"}) {
		t.Fatalf("%+v: containers are only run in the device's namespaces here, and with all capabilities", c.as)
	}
	ctx, cancel := context.WithCancel(context.Background())
	args := []string{
		"--mount", "--propagation", c.as.RootfsPropagation, "--", "sh", "-ec", c.script(t), "sh", device, c.root,
	}
	p := &process{t: t, ended: make(chan struct{})}
	p.cmd = machine.Command(ctx, "unshare", slices.Concat(args, c.run.Entrypoint, c.run.Cmd)...)
	p.cmd.Env, p.cmd.Stderr = c.run.Env, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		cancel()
		<-p.ended
		if t.Failed() {
			t.Logf("log of the container:\n%s", &p.log)
		}
	})
	return p
}

// script makes the mounts of a container in a mount namespace of its own, as linuxkit and runc do, and then becomes the
// container's process. Its arguments are the device's root folder, the container's, and the command. All devices that a
// device has here are those that every container has.
func (c container) script(t *testing.T) string {
	t.Helper()
	var script strings.Builder
	script.WriteString(`
		device=$1 root=$2
		shift 2
		mkdir -p "$device/dev" "$root/proc" "$root/sys"
		mount --bind "$root" "$root"
		mount -t tmpfs dev "$device/dev"
		for node in null zero full random urandom; do
			touch "$device/dev/$node"
			mount --bind "/dev/$node" "$device/dev/$node"
		done
		mount --rbind /proc "$root/proc"
		mount --rbind /sys "$root/sys"
	`)
	for _, bind := range c.as.Binds {
		from, to, options := splitBind(t, bind)
		fmt.Fprintf(&script, `
		mkdir -p "$root%[2]s"
		mount -o %[3]s "$device%[1]s" "$root%[2]s"`, from, to, options)
	}
	script.WriteString(`
		exec chroot "$root" "$@"`)
	return script.String()
}

// splitBind takes "SOURCE:DESTINATION" or "SOURCE:DESTINATION:OPTIONS" apart. All binds are recursive (linuxkit).
func splitBind(t *testing.T, bind string) (from, to, options string) {
	t.Helper()
	parts := strings.Split(bind, ":")
	switch len(parts) {
	case 2:
		return parts[0], parts[1], "rw,rbind,rshared"
	case 3:
		return parts[0], parts[1], parts[2] + ",rbind"
	}
	t.Fatalf("bind %q has %d parts, want 2 or 3", bind, len(parts))
	return "", "", ""
}

// stop tells the container to end, which it has to do by itself.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if <-p.ended; p.err != nil {
		p.t.Errorf("the container ends with: %v", p.err)
	}
}
