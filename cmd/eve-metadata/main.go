// SPDX-License-Identifier: Apache-2.0

// Command eve-metadata gives the app instances of an EVE edge node their metadata.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "unknown"

// Exit codes.
const (
	exitOK    = 0
	exitError = 1 // it did not work; the reason is on standard error
	exitUsage = 2 // the command line is wrong
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// execute runs one command line and returns the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cmd := newRootCommand()
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "eve-metadata: %v\n", err)
	if _, usage := errors.AsType[usageError](err); usage {
		fmt.Fprintln(stderr, "Run 'eve-metadata --help' for usage.")
		return exitUsage
	}
	return exitError
}

// usageError is a command line that cannot be understood.
type usageError struct{ error }

// Unwrap returns what is wrong with it.
func (e usageError) Unwrap() error { return e.error }

func newRootCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "eve-metadata",
		Short: "Metadata for the app instances of an EVE edge node",
		Long: `eve-metadata gives every virtual machine and container on an edge node its metadata: in OpenStack's,
EC2's and NoCloud's words over http://169.254.169.254, in CloudStack's at the guest's router, and on a
NoCloud drive or a ConfigDrive. It makes a network namespace for every app network, and serves each
network on its own, from one process or, so that guests talk to one without privileges, from three.

Exit codes: 0 all is well, 1 it did not work (the reason is on standard error), 2 wrong usage.`,
		Example: `  # Serve the embedded example, with all state under /tmp/md
  sudo eve-metadata run --root /tmp/md --ephemeral

  # Serve the apps and networks that a folder of manifests describes
  sudo eve-metadata run --manifests /etc/eve-metadata

  # What would the guest "web" see? No privileges needed
  eve-metadata render web`,
		Args:          usageArgs(cobra.NoArgs),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	cmd.AddCommand(newRunCommand(), newFeedCommand(), newNimCommand(), newMsrvCommand(), newRenderCommand(), newDriveCommand(), newVersionCommand())
	return cmd
}

// usageArgs makes what is wrong with the arguments an error of usage.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "eve-metadata %s\n", version)
			return err
		},
	}
}
