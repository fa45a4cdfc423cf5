// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/lf-edge/eve-metadata/pkg/confine"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
	"github.com/lf-edge/eve-metadata/pkg/task"
)

// process is what all commands that serve have in common.
type process struct {
	root      string
	logLevel  string
	logFormat string
	manager   notifier
}

func (p *process) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.root, "root", "", "prefix of every path of the state (default: the paths of an EVE device)")
	cmd.Flags().StringVar(&p.logLevel, "log-level", "info", "least level to log: error, warn, info or debug")
	cmd.Flags().StringVar(&p.logFormat, "log-format", "text", "how to log, to standard error: text or json")
}

// start makes the process's logger, and looks for its service manager.
func (p *process) start(stderr io.Writer) (*logrus.Logger, error) {
	log, err := newLogger(p.logLevel, p.logFormat, stderr)
	if err != nil {
		return nil, usageError{err}
	}
	if p.root != "" {
		if p.root, err = filepath.Abs(p.root); err != nil {
			return nil, fmt.Errorf("--root: %w", err)
		}
	}
	p.manager = newNotifier(log)
	log.WithFields(logrus.Fields{"version": version, "root": p.root}).Info("starting")
	return log, nil
}

// errRunning says that somebody else is at work below the root: what is there is not ours to take away.
var errRunning = errors.New("another eve-metadata is running here, stop it or choose another --root")

// serve runs tasks until ctx ends, and keeps the service manager informed.
func (p *process) serve(ctx context.Context, tasks task.Task, log *logrus.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-tasks.Ready():
			log.WithField("process", tasks.String()).Info("ready")
			p.manager.tell("READY=1", log)
		case <-ctx.Done():
		}
	}()
	err := tasks.Run(ctx)
	p.manager.tell("STOPPING=1", log)
	if errors.Is(err, pubsub.ErrInUse) {
		return fmt.Errorf("%w: %w", errRunning, err)
	}
	log.WithField("process", tasks.String()).Info("stopped")
	return err
}

// needRoot says that whoever is not root can not have app networks.
func needRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("making network namespaces needs root: use sudo, or a user namespace as `eve-metadata run --help` shows")
	}
	return nil
}

// newDriver makes what carries the topics; group may follow those of this process, 0 for nobody.
func newDriver(root string, group int, log *logrus.Logger) *socket.Driver {
	return &socket.Driver{Root: root, Group: group, Report: func(t pubsub.Table, err error) {
		log.WithError(err).WithField("table", t.Name()).Warn("trouble with a topic")
	}}
}

// readers is the group that may read what a process publishes.
type readers struct{ group string }

func (r *readers) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.group, "group", "",
		"group, by name or number, that the server of metadata is in, and may read what is published (default: root alone may)")
}

// lookup returns the group's number; 0 for none.
func (r *readers) lookup() (int, error) {
	if r.group == "" {
		return 0, nil
	}
	group, err := confine.LookupGroup(r.group)
	if err != nil {
		return 0, fmt.Errorf("--group: %w", err)
	}
	return group, nil
}

// newLogger makes the one logger of the process.
func newLogger(level, format string, out io.Writer) (*logrus.Logger, error) {
	log := logrus.New()
	log.SetOutput(out)
	l, err := logrus.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("--log-level %q: not error, warn, info or debug", level)
	}
	log.SetLevel(l)
	switch format {
	case "text":
	case "json":
		log.SetFormatter(&logrus.JSONFormatter{})
	default:
		return nil, fmt.Errorf("--log-format %q: not text or json", format)
	}
	return log, nil
}

// notifier tells the service manager how things are, where there is one (sd_notify(3)): by datagrams to the
// socket that $NOTIFY_SOCKET names. It is connected at the start, while the process may do that.
type notifier struct{ conn net.Conn }

func newNotifier(log *logrus.Logger) notifier {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return notifier{}
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		log.WithError(err).Warn("service manager not found")
		return notifier{}
	}
	return notifier{conn}
}

func (n notifier) tell(state string, log *logrus.Logger) {
	if n.conn == nil {
		return
	}
	if _, err := n.conn.Write([]byte(state)); err != nil {
		log.WithError(err).Warn("service manager not told")
	}
}
