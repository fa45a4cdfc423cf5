// SPDX-License-Identifier: Apache-2.0

package eden_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/lf-edge/eve-api/go/config"

	"github.com/lf-edge/eve-metadata/pkg/topics"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// configCommands are those of `eden controller edge-node`: the configuration in protobuf's JSON.
func (n *node) configCommands(c *call) []*cobra.Command {
	var from, to string
	get := &cobra.Command{
		Use: "get-config", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			n.mu.Lock()
			defer n.mu.Unlock()
			text, err := protojson.MarshalOptions{Multiline: true}.Marshal(n.config)
			if err != nil {
				return err
			}
			return os.WriteFile(c.path(to), text, 0o600)
		},
	}
	get.Flags().StringVar(&to, "file", "", "file to write it to")
	set := &cobra.Command{
		Use: "set-config", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			text, err := os.ReadFile(c.path(from))
			if err != nil {
				return err
			}
			changed := &config.EdgeDevConfig{}
			if err := protojson.Unmarshal(text, changed); err != nil {
				return err
			}
			n.progress("another configuration")
			return n.change(func() error { n.config = changed; return nil })
		},
	}
	set.Flags().StringVar(&from, "file", "", "file to read it from")
	return []*cobra.Command{required(get, "file"), required(set, "file")}
}

// forward is `eden sdn fwd`: it runs a command that reaches an app. What forwards ports on EVE is not the service's
// business, so the command runs where the app is, in the namespace of its network.
func (n *node) forward(c *call) *cobra.Command {
	return &cobra.Command{
		Use: "fwd INTERFACE PORT -- COMMAND", Args: cobra.MinimumNArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] != "eth0" {
				return fmt.Errorf("the runner's node has no interface %q", args[0])
			}
			n.mu.Lock()
			defer n.mu.Unlock()
			app, inside, err := n.behind(args[1])
			if err != nil {
				return err
			}
			if state := n.state(app); state != "RUNNING" {
				return fmt.Errorf("%s is %s", app.GetDisplayname(), state)
			}
			status, err := published(cmd.Context(), n, topics.Own().AppStatus)
			if err != nil {
				return err
			}
			for _, port := range status[app.GetUuidandversion().GetUuid()].AppNetAdapterList {
				addresses := world.Addresses(port)
				if port.Name != app.GetInterfaces()[0].GetName() || len(addresses) == 0 {
					continue
				}
				fill := strings.NewReplacer("FWD_IP", addresses[0], "FWD_PORT", strconv.Itoa(int(inside)))
				c.become = []string{"nsenter", "--net=" + n.namespace(port), "--", args[2]}
				for _, arg := range args[3:] {
					c.become = append(c.become, fill.Replace(arg))
				}
				return nil
			}
			return fmt.Errorf("%s has no address yet", app.GetDisplayname())
		},
	}
}

// behind is the app that a port outside leads to, and its port inside.
func (n *node) behind(outside string) (*config.AppInstanceConfig, uint32, error) {
	for _, app := range n.config.GetApps() {
		for _, a := range app.GetInterfaces() {
			if inside, ok := ports(a)[outside]; ok {
				return app, inside, nil
			}
		}
	}
	return nil, 0, fmt.Errorf("port %s leads to no app", outside)
}

// device runs a command ($3) where, as on a device, /run and /persist are the node's, below its root ($2). All else is this
// machine's. $1 is an empty folder.
const device = `
mount -t tmpfs node "$1"
for from in /*; do
	name=${from#/}
	if [ -L "$from" ]; then
		cp -P "$from" "$1/$name"
	elif [ -d "$from" ] && [ "$name" != run ] && [ "$name" != persist ] && [ "$name" != var ]; then
		mkdir "$1/$name" && mount --rbind "$from" "$1/$name"
	fi
done
mkdir "$1/run" "$1/persist" "$1/var"
ln -s ../run "$1/var/run"
mount --rbind "$2/run" "$1/run"
mount --rbind "$2/persist" "$1/persist"
exec chroot "$1" sh -c "$3"
`

// ssh is `eden eve ssh`: the shell of a node whose files are the service's.
func (n *node) ssh(c *call) *cobra.Command {
	return &cobra.Command{
		Use: "ssh COMMAND", Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if slices.Contains(args, "") {
				return errors.New("there is an empty word in the command")
			}
			root := filepath.Join(n.folder, "device")
			if err := os.MkdirAll(root, 0o755); err != nil {
				return err
			}
			c.become = []string{"unshare", "--mount", "sh", "-ec", device, "sh", root, n.world.Root, strings.Join(args, " ")}
			return nil
		},
	}
}
