// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/lf-edge/eve-metadata/msrv"
	"github.com/lf-edge/eve-metadata/msrv/drive"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/msrv/launch"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// launchOptions are the flags of `render` that show what to start a virtual machine with.
type launchOptions struct {
	form       string
	datasource string
}

// launchForms are in which words it can be shown.
func launchForms() []string { return []string{"qemu", "libvirt", "smbios"} }

func (o *launchOptions) flags(cmd *cobra.Command) {
	sources := launch.Datasources(dialects())
	cmd.Flags().StringVar(&o.form, "launch", "", "show what to start the virtual machine with, for "+strings.Join(launchForms(), ", "))
	cmd.Flags().StringVar(&o.datasource, "datasource", "",
		"with --launch, what the guest shall use: "+strings.Join(sources, ", ")+" (default: what the config asks for)")
	completeFlag(cmd, "launch", launchForms())
	completeFlag(cmd, "datasource", sources)
}

// check tells what is wrong with the flags.
func (o *launchOptions) check() error {
	if o.form != "" && !slices.Contains(launchForms(), o.form) {
		return fmt.Errorf("--launch %q: not qemu, libvirt or smbios", o.form)
	}
	if o.datasource == "" {
		return nil
	}
	if o.form == "" {
		return errors.New("--datasource goes with --launch")
	}
	if sources := launch.Datasources(dialects()); !slices.Contains(sources, o.datasource) {
		return fmt.Errorf("no datasource %q; there are: %s", o.datasource, strings.Join(sources, ", "))
	}
	return nil
}

// show prints what to start an instance with, whose service has its state below root.
func (o *launchOptions) show(w io.Writer, inst *instance.Instance, root string) error {
	image, err := imagePath(inst, root)
	if err != nil {
		return err
	}
	if o.datasource != "" {
		inst.Datasource = o.datasource
	}
	l := launch.Of(dialects(), inst, image)
	if o.datasource != "" && l.Datasource != o.datasource {
		return fmt.Errorf("instance %s has no datasource %q", inst, o.datasource)
	}
	switch o.form {
	case "qemu":
		for _, arg := range l.QEMU {
			fmt.Fprintln(w, quote(arg))
		}
		return nil
	case "libvirt":
		_, err := fmt.Fprintln(w, l.Libvirt)
		return err
	}
	return listFirmware(w, l, o.datasource)
}

// imagePath is where a service has the image of an instance's drive; "" for an instance without one. A
// drive that cannot be made is an error: the guest would wait for it in vain.
func imagePath(inst *instance.Instance, root string) (string, error) {
	_, tree, err := msrv.RenderDrive(dialects(), inst)
	if tree == nil {
		return "", err
	}
	return filepath.Abs(drive.Path(msrv.Drives(root), inst.UUID))
}

// listFirmware prints a line for each string that a firmware has to say, under the name by which the
// guest's dmidecode prints it, for one datasource or, if that is "", for all.
func listFirmware(w io.Writer, l eve.InstanceLaunch, only string) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "DATASOURCE\tSTRING\tVALUE")
	for _, source := range slices.Sorted(maps.Keys(l.Firmware)) {
		if only != "" && only != source {
			continue
		}
		f := l.Firmware[source]
		for _, line := range [][2]string{
			{"system-uuid", f.UUID},
			{"system-product-name", f.Product},
			{"system-serial-number", f.Serial},
			{"chassis-asset-tag", f.AssetTag},
		} {
			if line[1] != "" {
				fmt.Fprintf(tab, "%s\t%s\t%s\n", source, line[0], line[1])
			}
		}
	}
	return tab.Flush()
}

// quote is an argument as a shell reads it: as it is where that is plain, in single quotes otherwise.
func quote(arg string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=,.:/"
	if arg != "" && strings.Trim(arg, plain) == "" {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}
