// SPDX-License-Identifier: Apache-2.0

package eden_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/topics"
)

// detector is one of eden's programs that wait for something.
type detector struct {
	program string
	limit   time.Duration
	state   string   // that apps or networks are to have; "-": not to be there
	names   []string // of those
	// What an info of the controller's has to say.
	field string
	value *regexp.Regexp
}

// amdInfo is the field of an info that has what apps have posted. Here the topic that EVE's zedagent makes it of stands for it.
const amdInfo = "InfoContent.amdinfo.data"

func parseDetector(program string, args []string) (*detector, error) {
	d := &detector{program: program}
	f := flag.NewFlagSet(program, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.DurationVar(&d.limit, "timewait", 10*time.Minute, "")
	f.Bool("test.v", false, "")
	var run, out string
	if program == "eden.lim.test" {
		f.StringVar(&run, "test.run", "", "")
		f.StringVar(&out, "out", "", "")
	}
	if program == "eden.app.test" {
		// Restarts have ended here when the command for them has.
		f.Bool("check-new", false, "")
	}
	if err := f.Parse(args); err != nil {
		return nil, fmt.Errorf("the runner's %s: %w", program, err)
	}
	if d.limit <= 0 {
		return nil, fmt.Errorf("the runner's %s does not wait for %v", program, d.limit)
	}
	if program == "eden.lim.test" {
		return d, d.parseQuery(run, out, f.Args())
	}
	if f.NArg() < 2 {
		return nil, fmt.Errorf("usage: %s STATE NAME", program)
	}
	d.state, d.names = f.Arg(0), f.Args()[1:]
	states := map[string][]string{"eden.app.test": {"-", "RUNNING", "HALTED"}, "eden.network.test": {"-", "ACTIVATED"}}[program]
	if slices.Contains(states, d.state) {
		return d, nil
	}
	return nil, fmt.Errorf("the runner's %s waits for %v, not for %q", program, states, d.state)
}

func (d *detector) parseQuery(run, out string, args []string) (err error) {
	if run != "TestInfo" || len(args) != 1 || out != "" && out != amdInfo {
		return fmt.Errorf("the runner's %s is for -test.run TestInfo, one query and -out %s", d.program, amdInfo)
	}
	field, value, _ := strings.Cut(args[0], ":")
	if field != amdInfo {
		return fmt.Errorf("the runner's %s knows nothing of %q", d.program, field)
	}
	d.field = field
	d.value, err = regexp.Compile(value)
	return err
}

// detect waits for what a detector is to detect.
func (n *node) detect(ctx context.Context, c *call, d *detector) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d.limit, fmt.Errorf("it did not come in %v", d.limit))
	defer cancel()
	switch d.program {
	case "eden.lim.test":
		return await(ctx, d.field, func() error { return n.posted(ctx, c, d) })
	case "eden.network.test":
		return n.awaitStates(ctx, c, d, "network", n.networksThere)
	}
	return n.awaitStates(ctx, c, d, "app", n.appsThere)
}

// posted says in which way apps have not posted what a detector waits for.
func (n *node) posted(ctx context.Context, c *call, d *detector) error {
	all, err := published(ctx, n, pubsub.TopicOf[eve.AppInstMetaData](eve.AgentServe, pubsub.Persistent()))
	if err != nil {
		return err
	}
	for _, m := range all {
		if d.value.Match(m.Data) {
			fmt.Fprintf(&c.stdout, "%s: %s\n", d.field, m.Data)
			return nil
		}
	}
	return fmt.Errorf("%d apps have posted something else", len(all))
}

// awaitStates waits until all that a detector names have the state that it names. What is there tells the states of apps or
// networks.
func (n *node) awaitStates(ctx context.Context, c *call, d *detector, what string, there func(context.Context) (map[string]string, error)) error {
	return await(ctx, fmt.Sprintf("%s of %v", what, d.names), func() error {
		states, err := there(ctx)
		if err != nil {
			return err
		}
		var said []string
		for _, name := range d.names {
			switch state, ok := states[name]; {
			case d.state == "-" && ok:
				return fmt.Errorf("%s %s is there, and %s", what, name, state)
			case d.state == "-":
				said = append(said, fmt.Sprintf("no %s with %s found", what, name))
			case !ok:
				return fmt.Errorf("there is no %s %s", what, name)
			case state != d.state:
				return fmt.Errorf("%s %s is %s", what, name, state)
			default:
				said = append(said, fmt.Sprintf("%s %s state %s", what, name, state))
			}
		}
		_, err = fmt.Fprintln(&c.stdout, strings.Join(said, "\n"))
		return err
	})
}

// appsThere are the states of the apps that the controller or the service has.
func (n *node) appsThere(ctx context.Context) (map[string]string, error) {
	told, err := published(ctx, n, topics.Own().Apps)
	made, madeErr := published(ctx, n, topics.Own().AppStatus)
	if err := errors.Join(err, madeErr); err != nil {
		return nil, err
	}
	states := make(map[string]string)
	for _, app := range told {
		states[app.DisplayName] = "told"
	}
	for _, app := range made {
		states[app.DisplayName] = "made"
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, app := range n.config.GetApps() {
		states[app.GetDisplayname()] = n.state(app)
	}
	return states, nil
}

// networksThere are the states of the networks that the controller or the service has.
func (n *node) networksThere(ctx context.Context) (map[string]string, error) {
	states, err := n.networkStates(ctx)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, ni := range n.config.GetNetworkInstances() {
		states[ni.GetDisplayname()] = or(states[ni.GetDisplayname()], "UNKNOWN")
	}
	return states, nil
}
