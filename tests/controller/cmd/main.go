// SPDX-License-Identifier: Apache-2.0

// The program is a controller of edge nodes, for tests and for trying things out: it delivers the configuration that is in
// a folder, and makes there what a node needs to come and get it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "controller: %v\n", err)
		stop()
		os.Exit(1)
	}
}

// run serves until ctx ends. It tells stdout, once it serves, how the node is started, and stderr what is asked.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("controller", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: controller [flags] FOLDER")
		flags.PrintDefaults()
	}
	listen := flags.String("listen", "127.0.0.1:8443",
		"listen at `host:port`; the host is in the certificate that the first start makes")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		flags.Usage()
		return fmt.Errorf("want one folder, not %d", flags.NArg())
	}
	folder, err := filepath.Abs(flags.Arg(0))
	if err != nil {
		return err
	}
	s := &site{folder: folder, log: log.New(stderr, "", log.Ltime)}
	if err := s.start(ctx, *listen); err != nil {
		return err
	}
	fmt.Fprintln(stdout, s.advice())
	<-ctx.Done()
	return s.controller.Stop()
}
