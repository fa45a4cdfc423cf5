// SPDX-License-Identifier: Apache-2.0

package eden_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/lf-edge/eve-api/go/config"

	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/topics"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// actLimit is how long it may take until what the controller says is done.
const actLimit = 3 * time.Minute

// pod is what `eden pod deploy` is told. Images have a memory of their own here.
type pod struct {
	name, link, metadata, memory string
	networks, publish            []string
	openstack, encryptCert       bool
}

// podCommands are those of `eden pod`.
func (n *node) podCommands(c *call) []*cobra.Command {
	return []*cobra.Command{
		n.deployCommand(c),
		n.modifyCommand(),
		n.podCommand("delete", n.delete),
		n.podCommand("restart", n.restart),
		n.podCommand("stop", func(ctx context.Context, app *config.AppInstanceConfig) error {
			app.Activate = false
			return errors.Join(n.shutdown(ctx, app.GetUuidandversion().GetUuid()), n.apply())
		}),
		n.podCommand("start", func(ctx context.Context, app *config.AppInstanceConfig) error {
			app.Activate = true
			if err := n.apply(); err != nil {
				return err
			}
			return n.start(ctx, app)
		}),
		n.podCommand("logs", func(_ context.Context, app *config.AppInstanceConfig) error {
			text, err := os.ReadFile(filepath.Join(n.folder, app.GetDisplayname(), "console.log"))
			c.stdout.Write(text)
			return err
		}),
		{
			Use: "ps", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return n.listPods(cmd.Context(), &c.stdout) },
		},
	}
}

// podCommand is a command about one app.
func (n *node) podCommand(name string, do func(context.Context, *config.AppInstanceConfig) error) *cobra.Command {
	return &cobra.Command{
		Use: name + " APP", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), actLimit)
			defer cancel()
			n.mu.Lock()
			defer n.mu.Unlock()
			app, err := n.app(args[0])
			if err != nil {
				return err
			}
			n.progress("%s %s", name, args[0])
			return do(ctx, app)
		},
	}
}

func (n *node) deployCommand(c *call) *cobra.Command {
	var p pod
	cmd := &cobra.Command{
		Use: "deploy LINK", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), actLimit)
			defer cancel()
			p.link = args[0]
			n.mu.Lock()
			defer n.mu.Unlock()
			return n.deploy(ctx, c, p)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&p.name, "name", "n", "", "name")
	f.StringVar(&p.metadata, "metadata", "", "user data, or the file that has it")
	f.StringVar(&p.memory, "memory", "", "ignored")
	f.StringSliceVar(&p.networks, "networks", nil, "networks")
	f.StringSliceVarP(&p.publish, "publish", "p", nil, "OUTSIDE:INSIDE ports")
	f.BoolVar(&p.openstack, "openstack-metadata", false, "OpenStack's metadata over HTTP")
	f.BoolVar(&p.encryptCert, "use-encrypt-cert", false, "encrypt with the certificate for that, and not the one that signs")
	return cmd
}

// modifyCommand gives an app other networks and ports. On EVE that takes a restart, and so it does here.
func (n *node) modifyCommand() *cobra.Command {
	var networks, publish []string
	cmd := n.podCommand("modify", func(ctx context.Context, app *config.AppInstanceConfig) error {
		adapters, err := n.adapters(networks, publish)
		if err != nil {
			return err
		}
		app.Interfaces = adapters
		return n.restart(ctx, app)
	})
	cmd.Flags().StringSliceVar(&networks, "networks", nil, "networks")
	cmd.Flags().StringSliceVarP(&publish, "publish", "p", nil, "OUTSIDE:INSIDE ports")
	return cmd
}

// deploy adds an app to the configuration and starts its guest.
func (n *node) deploy(ctx context.Context, c *call, p pod) error {
	if _, err := n.app(p.name); err == nil || p.name == "" {
		return fmt.Errorf("an app needs a name, and one that no other has: %q is not", p.name)
	}
	image, err := n.imageOf(p.link)
	if err != nil {
		return err
	}
	adapters, err := n.adapters(p.networks, p.publish)
	if err != nil {
		return err
	}
	app := &config.AppInstanceConfig{
		Uuidandversion: &config.UUIDandVersion{Uuid: uuid.NewString(), Version: "1"}, Displayname: p.name, Activate: true,
		Fixedresources: &config.VmConfig{VirtualizationMode: config.VmMode_HVM}, Interfaces: adapters,
		Drives: []*config.Drive{{Image: &config.Image{Name: p.link}}},
	}
	if p.openstack {
		app.MetaDataType = config.MetaDataType_MetaDataOpenStack
	}
	if text := c.metadata(p.metadata); text != "" {
		plain := base64.StdEncoding.EncodeToString([]byte(text))
		if err := n.seal(app, plain, n.identity(p.encryptCert)); err != nil {
			return err
		}
	}
	n.config.Apps = append(n.config.Apps, app)
	if err := n.apply(); err != nil {
		return err
	}
	n.guestsMu.Lock()
	n.guests[app.GetUuidandversion().GetUuid()] = &guest{image: image}
	n.guestsMu.Unlock()
	n.progress("deploy %s with %s", p.name, image.Name)
	return n.start(ctx, app)
}

// metadata is the text that --metadata means: a file's, if there is one of that name.
func (c *call) metadata(value string) string {
	if text, err := os.ReadFile(c.path(value)); value != "" && err == nil {
		return string(text)
	}
	return strings.ReplaceAll(value, `\n`, "\n")
}

// adapters makes an app's adapters, as eden does: ports are those of the first.
func (n *node) adapters(networks, publish []string) (adapters []*config.NetworkAdapter, err error) {
	if len(networks) == 0 {
		return nil, errors.New("the runner makes no networks for apps that have none")
	}
	for i, name := range networks {
		ni, err := n.network(name)
		if err != nil {
			return nil, err
		}
		before := 0
		for _, other := range networks[:i] {
			if other == name {
				before++
			}
		}
		a := &config.NetworkAdapter{
			Name: fmt.Sprintf("%s-%d", name, before), NetworkId: ni.GetUuidandversion().GetUuid(),
			Acls: []*config.ACE{{Id: 1, Matches: []*config.ACEMatch{{Type: "ip", Value: "0.0.0.0/0"}}}},
		}
		if i == 0 {
			for _, ports := range publish {
				ace, err := portMap(int32(len(a.Acls)+1), ports)
				if err != nil {
					return nil, err
				}
				a.Acls = append(a.Acls, ace)
			}
		}
		adapters = append(adapters, a)
	}
	return adapters, nil
}

func portMap(id int32, ports string) (*config.ACE, error) {
	outside, inside, _ := strings.Cut(ports, ":")
	port, err := strconv.ParseUint(inside, 10, 16)
	if _, outsideErr := strconv.ParseUint(outside, 10, 16); err != nil || outsideErr != nil {
		return nil, fmt.Errorf("%q are no ports OUTSIDE:INSIDE", ports)
	}
	return &config.ACE{
		Id: id, Matches: []*config.ACEMatch{{Type: "protocol", Value: "tcp"}, {Type: "lport", Value: outside}},
		Actions: []*config.ACEAction{{Portmap: true, AppPort: uint32(port)}}, Dir: config.ACEDirection_BOTH,
	}, nil
}

// ports are those of an adapter that are reached from outside, by their numbers there.
func ports(a *config.NetworkAdapter) map[string]uint32 {
	all := make(map[string]uint32)
	for _, ace := range a.GetAcls() {
		for _, m := range ace.GetMatches() {
			for _, action := range ace.GetActions() {
				if m.GetType() == "lport" && action.GetPortmap() {
					all[m.GetValue()] = action.GetAppPort()
				}
			}
		}
	}
	return all
}

// app is the app of a name.
func (n *node) app(name string) (*config.AppInstanceConfig, error) {
	for _, app := range n.config.GetApps() {
		if app.GetDisplayname() == name {
			return app, nil
		}
	}
	return nil, fmt.Errorf("there is no app %q", name)
}

func (n *node) delete(_ context.Context, app *config.AppInstanceConfig) error {
	id := app.GetUuidandversion().GetUuid()
	if err := n.cut(id); err != nil {
		return err
	}
	n.config.Apps = slices.DeleteFunc(n.config.Apps, func(other *config.AppInstanceConfig) bool { return other == app })
	n.guestsMu.Lock()
	delete(n.guests, id)
	n.guestsMu.Unlock()
	delete(n.plain, id)
	return errors.Join(os.Remove(filepath.Join(n.folder, app.GetDisplayname(), "disk.qcow2")), n.apply())
}

// restart does what EVE does of its own once it sees that the controller's counter has moved.
func (n *node) restart(ctx context.Context, app *config.AppInstanceConfig) error {
	counter := app.GetRestart().GetCounter() + 1
	app.Restart = &config.InstanceOpsCmd{Counter: counter}
	if err := n.apply(); err != nil {
		return err
	}
	id := app.GetUuidandversion().GetUuid()
	if err := await(ctx, "the command to restart", func() error {
		all, err := published(ctx, n, topics.Own().Apps)
		if err == nil && all[id].RestartCmd.Counter != counter {
			err = fmt.Errorf("restart %d is not yet told", counter)
		}
		return err
	}); err != nil {
		return err
	}
	if err := n.shutdown(ctx, id); err != nil {
		return err
	}
	return n.start(ctx, app)
}

// listPods prints the table that eden prints.
func (n *node) listPods(ctx context.Context, w io.Writer) error {
	status, err := published(ctx, n, topics.Own().AppStatus)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	table := tabwriter.NewWriter(w, 0, 8, 1, '\t', 0)
	fmt.Fprintln(table, "NAME\tIMAGE\tUUID\tINTERNAL\tEXTERNAL\tMEMORY\tSTATE(ADAM)\tLAST_STATE(EVE)")
	for _, app := range slices.SortedFunc(slices.Values(n.config.GetApps()), func(a, b *config.AppInstanceConfig) int {
		return strings.Compare(a.GetDisplayname(), b.GetDisplayname())
	}) {
		id := app.GetUuidandversion().GetUuid()
		inside, outside := endpoints(app, status[id])
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t-\tIN_CONFIG\t%s\n", app.GetDisplayname(), app.GetDrives()[0].GetImage().GetName(), id, inside,
			outside, n.state(app))
	}
	return table.Flush()
}

// endpoints are an app's addresses with its ports, and the node's with those outside, as eden lists them.
func endpoints(app *config.AppInstanceConfig, status eve.AppNetworkStatus) (inside, outside string) {
	var in []string
	for i, port := range status.AppNetAdapterList {
		addresses := world.Addresses(port)
		if len(addresses) == 0 {
			continue
		}
		text := addresses[0]
		if i == 0 {
			for out, port := range ports(app.GetInterfaces()[0]) {
				text += fmt.Sprintf(":%d", port)
				outside = "127.0.0.1:" + out
				break
			}
		}
		in = append(in, text)
	}
	return or(strings.Join(in, "; "), "-"), or(outside, "-")
}

// state is an app's state in eden's words.
func (n *node) state(app *config.AppInstanceConfig) string {
	n.guestsMu.Lock()
	defer n.guestsMu.Unlock()
	switch g := n.guests[app.GetUuidandversion().GetUuid()]; {
	case g.running():
		return "RUNNING"
	case !app.GetActivate():
		return "HALTED"
	case g != nil && g.on != nil:
		return "BROKEN"
	}
	return "UNKNOWN"
}

// change changes the configuration, and has the controller give it.
func (n *node) change(do func() error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := do(); err != nil {
		return err
	}
	return n.apply()
}
