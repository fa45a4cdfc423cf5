// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
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
	launch  launchOptions
}

func newRenderCommand() *cobra.Command {
	var o renderOptions
	cmd := &cobra.Command{
		Use:   "render [INSTANCE [PATH]]",
		Short: "Show what a guest would see",
		Long: `render shows what a guest would see, without running anything and without privileges: the instances
that there are, or the tree that one of them reads over HTTP, or one document of it,
byte for byte, or what to start its virtual machine with. INSTANCE is a name, a hostname or a UUID.

--launch shows what makes a guest find its metadata: the arguments for QEMU, one per line, quoted for a
shell; elements to be joined into a libvirt domain; or what the firmware (SMBIOS) has to say, for every
datasource. The machine has to be started in the network namespace of its taps; one with taps in several
needs somebody who opens them there and hands them over (QEMU: -netdev tap,fd=).`,
		Example: `  eve-metadata render
  eve-metadata render web
  eve-metadata render web --dialect ec2
  eve-metadata render web /openstack/latest/meta_data.json
  eve-metadata render web --drive
  eve-metadata render web --launch smbios
  eve-metadata render web --launch qemu --datasource nocloud | xargs qemu-system-x86_64 -m 1G disk.img
  eve-metadata render -m /etc/eve-metadata gateway --drive /user-data`,
		Args: usageArgs(cobra.MaximumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) },
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return completeInstance(cmd, o.source, args)
		},
	}
	o.source.flags(cmd)
	cmd.Flags().StringVar(&o.root, "root", "", "root of a service whose random seeds to show, and the path of whose drive")
	cmd.Flags().StringVar(&o.dialect, "dialect", "", "show this dialect alone: "+strings.Join(dialectNames(), ", "))
	cmd.Flags().BoolVar(&o.drive, "drive", false, "show the files of the instance's drive instead of the tree over HTTP")
	completeFlag(cmd, "dialect", dialectNames())
	o.launch.flags(cmd)
	return cmd
}

func (o *renderOptions) run(cmd *cobra.Command, args []string) error {
	chosen, err := chooseDialects(o.dialect)
	if err != nil {
		return usageError{err}
	}
	if err := o.checkLaunch(args); err != nil {
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
	if o.launch.form != "" {
		return o.launch.show(cmd.OutOrStdout(), inst, o.root)
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
	if err != nil {
		return nil, err
	}
	if trees == nil {
		return nil, fmt.Errorf("instance %s is not to ask over HTTP", inst)
	}
	// One dialect alone may be served at another site than most.
	for _, site := range []dialect.Site{dialect.Metadata, dialect.Router} {
		if tree := trees[site]; tree != nil {
			return tree, nil
		}
	}
	return nil, errors.New("the dialect has nothing to show over HTTP")
}

// checkLaunch tells what does not go with --launch.
func (o *renderOptions) checkLaunch(args []string) error {
	if o.launch.form != "" && (len(args) != 1 || o.drive || o.dialect != "") {
		return errors.New("--launch wants an INSTANCE, and neither PATH nor --drive nor --dialect")
	}
	return o.launch.check()
}

// listInstances prints a line for each instance, and one for each further adapter of it.
func listInstances(w io.Writer, instances []*instance.Instance) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "NAME\tUUID\tDRIVE\tHTTP\tADAPTER\tMAC\tPORT\tADDRESSES")
	for _, i := range instances {
		head := fmt.Sprintf("%s\t%s\t%s\t%t", i.Name, i.UUID, i.Drive, i.HTTP)
		if len(i.Adapters) == 0 {
			fmt.Fprintf(tab, "%s\t-\t-\t-\t-\n", head)
		}
		for _, a := range i.Adapters {
			fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%s\n", head, adapterName(a), orDash(a.MAC.String()), orDash(a.Port), addresses(a))
			head = "\t\t\t"
		}
	}
	return tab.Flush()
}

// adapterName is an adapter's name with the network that it is in, or with what it is made of.
func adapterName(a instance.Adapter) string {
	if a.Kind == instance.Card {
		return a.Name + "@" + a.NetworkName
	}
	return a.Name + " on " + strings.Join(a.Over, "+")
}

// addresses are those of an adapter that are known.
func addresses(a instance.Adapter) string {
	var known []string
	for _, p := range []instance.Addressing{a.IPv4, a.IPv6} {
		if p.Address.IsValid() {
			known = append(known, p.Address.String())
		}
	}
	return orDash(strings.Join(known, " "))
}

// orDash is a text, or a dash for none: each line has something in every column.
func orDash(text string) string { return cmp.Or(text, "-") }

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

// completeFlag has shells offer the values of a flag.
func completeFlag(cmd *cobra.Command, name string, values []string) {
	// It names a flag that is there, so there is nothing to go wrong.
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
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
