// SPDX-License-Identifier: Apache-2.0

package eden_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
)

const (
	// wrapperVar says in a script's environment where its node is to be asked.
	wrapperVar = "EDEN_NODE"
	// socketVar says the same to this test's own binary, which is then one of eden's programs.
	socketVar = "EVE_METADATA_TEST_EDEN"
)

// programs are those of eden's that scripts run: eden, and the detectors of its tests.
func programs() []string {
	return []string{"eden", "eden.app.test", "eden.lim.test", "eden.network.test"}
}

// question is a command line, and where it was said.
type question struct {
	Program string
	Args    []string
	Dir     string
}

// answer is what comes of it.
type answer struct {
	Stdout, Stderr string
	Exec           []string // what is to be run in place of the program then
	Code           int      // the exit code otherwise
}

// ask is what each of eden's programs does: the node does the work. It does not return.
func ask(socket string, args []string) {
	// Scripts end what they have left in the background by an interrupt, which whoever runs this test may ignore.
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	go func() {
		<-interrupted
		os.Exit(1)
	}()
	a, err := asked(socket, args)
	if err == nil && a.Exec != nil {
		err = become(a.Exec)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprint(os.Stdout, a.Stdout)
	fmt.Fprint(os.Stderr, a.Stderr)
	os.Exit(a.Code)
}

func asked(socket string, args []string) (a answer, err error) {
	dir, err := os.Getwd()
	if err != nil {
		return a, err
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return a, err
	}
	defer conn.Close()
	if err := json.NewEncoder(conn).Encode(question{Program: args[0], Args: args[1:], Dir: dir}); err != nil {
		return a, err
	}
	err = json.NewDecoder(conn).Decode(&a)
	return a, err
}

// become runs a program in place of this one, with its input and output.
func become(args []string) error {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	return syscall.Exec(path, args, slices.DeleteFunc(os.Environ(), func(v string) bool {
		return len(v) > len(socketVar) && v[:len(socketVar)+1] == socketVar+"="
	}))
}

// serve answers eden's programs until the test ends, and returns where.
func (n *node) serve() string {
	n.t.Helper()
	path := filepath.Join(n.folder, "node.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			done.Go(func() { n.converse(ctx, conn) })
		}
	})
	n.t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		done.Wait()
	})
	return path
}

// converse answers one program. A program that ends is not answered any more.
func (n *node) converse(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	var q question
	if err := json.NewDecoder(conn).Decode(&q); err != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watch sync.WaitGroup
	watch.Go(func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, conn) // which ends when the program does
	})
	_ = json.NewEncoder(conn).Encode(n.answer(ctx, q))
	_ = conn.Close()
	watch.Wait()
}

func (n *node) answer(ctx context.Context, q question) answer {
	c := &call{dir: q.Dir}
	err := n.do(ctx, c, q.Program, q.Args)
	a := answer{Stdout: c.stdout.String(), Stderr: c.stderr.String(), Exec: c.become}
	if err != nil {
		a.Code, a.Exec = 1, nil
		a.Stderr += fmt.Sprintf("%s: %v\n", q.Program, err)
	}
	return a
}

// call is what one program says while it is done.
type call struct {
	dir            string // where it was called
	stdout, stderr bytes.Buffer
	become         []string // what it turns into
}

// path is that of a file which the caller named.
func (c *call) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(c.dir, name)
}

// do does what a program is asked.
func (n *node) do(ctx context.Context, c *call, program string, args []string) error {
	switch program {
	case "eden":
		root := n.eden(c)
		root.SetArgs(args)
		return root.ExecuteContext(ctx)
	case "eden.app.test", "eden.lim.test", "eden.network.test":
		d, err := parseDetector(program, args)
		if err != nil {
			return err
		}
		return n.detect(ctx, c, d)
	}
	return fmt.Errorf("the runner does not know eden's program %q", program)
}

// eden is eden's program, as far as the runner knows it. cobra refuses what is not in it.
func (n *node) eden(c *call) *cobra.Command {
	root := group("eden",
		group("network", n.networkCommands(c)...),
		group("pod", n.podCommands(c)...),
		group("sdn", n.forward(c)),
		group("eve", n.ssh(c)),
		group("controller", group("edge-node", n.configCommands(c)...)),
		group("utils", n.issue(c, "signing"), n.issue(c, "encrypt")),
		group("adam", n.rotate(c, "signing"), n.rotate(c, "encrypt")),
	)
	root.SetOut(&c.stdout)
	root.SetErr(&c.stderr)
	root.SilenceUsage, root.SilenceErrors = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{Hidden: true})
	return root
}

// group is a command that does nothing by itself, and says so.
func group(name string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use:  name,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return fmt.Errorf("the runner does not know what `%s %v` does", cmd.CommandPath(), args)
		},
	}
	g.AddCommand(commands...)
	return g
}

// known says in which way a command line is not one that the runner knows. Nothing is done.
func known(program string, args []string) error {
	n := &node{}
	if program != "eden" {
		if !slices.Contains(programs(), program) {
			return fmt.Errorf("the runner does not know eden's program %q", program)
		}
		_, err := parseDetector(program, args)
		return err
	}
	cmd, rest, err := n.eden(&call{}).Find(args)
	if err != nil {
		return err
	}
	if cmd.HasSubCommands() {
		return fmt.Errorf("the runner does not know eden's command %q", args)
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return fmt.Errorf("%s: %w", cmd.CommandPath(), err)
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		return fmt.Errorf("%s: %w", cmd.CommandPath(), err)
	}
	if err := cmd.ValidateRequiredFlags(); err != nil {
		return fmt.Errorf("%s: %w", cmd.CommandPath(), err)
	}
	return nil
}
