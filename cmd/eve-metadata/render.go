// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/lf-edge/eve-metadata/msrv"
	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// renderOptions are the flags of `render`.
type renderOptions struct {
	source
	root    string
	dialect string
	drive   bool
}

func newRenderCommand() *cobra.Command {
	var o renderOptions
	cmd := &cobra.Command{
		Use:   "render [INSTANCE [PATH]]",
		Short: "Show what a guest would see",
		Long: `render shows what a guest would see, without running anything and without privileges: the instances
that there are, or the tree that one of them reads at the metadata address, or one document of it,
byte for byte. INSTANCE is a name, a hostname or a UUID.`,
		Example: `  eve-metadata render
  eve-metadata render web
  eve-metadata render web --dialect ec2
  eve-metadata render web /openstack/latest/meta_data.json
  eve-metadata render web --drive
  eve-metadata render -m /etc/eve-metadata gateway --drive /user-data`,
		Args: usageArgs(cobra.MaximumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) },
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return completeInstance(cmd, o.source, args)
		},
	}
	o.source.flags(cmd)
	cmd.Flags().StringVar(&o.root, "root", "", "root of a service whose random seeds to show")
	cmd.Flags().StringVar(&o.dialect, "dialect", "", "show this dialect alone: "+strings.Join(dialectNames(), ", "))
	cmd.Flags().BoolVar(&o.drive, "drive", false, "show the files of the instance's drive instead of the tree over HTTP")
	// It names a flag that is there, so there is nothing to go wrong.
	_ = cmd.RegisterFlagCompletionFunc("dialect", cobra.FixedCompletions(dialectNames(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (o *renderOptions) run(cmd *cobra.Command, args []string) error {
	chosen, err := chooseDialects(o.dialect)
	if err != nil {
		return usageError{err}
	}
	instances, err := preview(cmd.Context(), o.source, o.root)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return listInstances(cmd.OutOrStdout(), instances)
	}
	inst, err := find(instances, args[0])
	if err != nil {
		return err
	}
	tree, err := o.tree(chosen, inst)
	if err != nil {
		return err
	}
	if len(args) == 1 {
		return listTree(cmd.OutOrStdout(), tree)
	}
	return showDocument(cmd.OutOrStdout(), tree, args[1])
}

// tree renders what was asked for.
func (o *renderOptions) tree(dialects []dialect.Dialect, inst *instance.Instance) (*document.Node, error) {
	if o.drive {
		_, tree, err := msrv.RenderDrive(dialects, inst)
		if err == nil && tree == nil {
			err = fmt.Errorf("instance %s has no drive", inst)
		}
		return tree, err
	}
	trees, err := msrv.RenderHTTP(dialects, inst)
	if err == nil && trees == nil {
		err = fmt.Errorf("instance %s is not to ask over HTTP", inst)
	}
	return trees[dialect.Metadata], err
}

// listInstances prints a line for each instance.
func listInstances(w io.Writer, instances []*instance.Instance) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "NAME\tUUID\tDRIVE\tHTTP\tADAPTERS")
	for _, i := range instances {
		adapters := make([]string, len(i.Adapters))
		for k, a := range i.Adapters {
			adapters[k] = a.Name + "@" + a.NetworkName
			for _, p := range []instance.Addressing{a.IPv4, a.IPv6} {
				if p.Address.IsValid() {
					adapters[k] += " " + p.Address.String()
				}
			}
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\t%t\t%s\n", i.Name, i.UUID, i.Drive, i.HTTP, cmp.Or(strings.Join(adapters, ", "), "-"))
	}
	return tab.Flush()
}

// listTree prints a line for each document: path, size, type. A broken one has its reason.
func listTree(w io.Writer, tree *document.Node) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	err := tree.Walk(func(at string, n *document.Node) error {
		name := "/" + at
		if n.IsDirectory() && at != "" {
			name += "/"
		}
		if fault := n.Document().Fault(); fault != "" {
			_, err := fmt.Fprintf(tab, "%s\t-\tERROR: %s\n", name, fault)
			return err
		}
		_, err := fmt.Fprintf(tab, "%s\t%d\t%s\n", name, len(n.Document().Body()), n.Document().Type())
		return err
	})
	if err != nil {
		return err
	}
	return tab.Flush()
}

// showDocument prints a document, byte for byte.
func showDocument(w io.Writer, tree *document.Node, at string) error {
	n := tree.Lookup(strings.Trim(path.Clean("/"+at), "/"))
	if n == nil || n.Document() == nil {
		return fmt.Errorf("no document %q", at)
	}
	if fault := n.Document().Fault(); fault != "" {
		return fmt.Errorf("show document %q: %s", at, fault)
	}
	_, err := w.Write(n.Document().Body())
	return err
}

func dialectNames() []string {
	var names []string
	for _, d := range dialects() {
		names = append(names, d.Name)
	}
	return names
}

// chooseDialects picks one dialect by name; "" picks all.
func chooseDialects(name string) ([]dialect.Dialect, error) {
	all := dialects()
	if name == "" {
		return all, nil
	}
	i := slices.IndexFunc(all, func(d dialect.Dialect) bool { return d.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("no dialect %q; there are: %s", name, strings.Join(dialectNames(), ", "))
	}
	return all[i : i+1], nil
}

// completeInstance offers the instances of the source for the first argument.
func completeInstance(cmd *cobra.Command, src source, args []string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	instances, err := preview(cmd.Context(), src, "")
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, i := range instances {
		names = append(names, i.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
