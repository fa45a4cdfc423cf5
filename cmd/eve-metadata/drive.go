// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lf-edge/eve-metadata/msrv"
	"github.com/lf-edge/eve-metadata/msrv/drive"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// driveOptions are the flags of `drive`.
type driveOptions struct {
	source
	out  string
	kind string
}

func newDriveCommand() *cobra.Command {
	var o driveOptions
	cmd := &cobra.Command{
		Use:   "drive -o FILE INSTANCE",
		Short: "Write the drive of one instance",
		Long: `drive writes the image of an instance's drive, as the service would, without running anything and
without privileges, and prints the label by which guests find it. The same configs give the same bytes.
The file holds user data in clear and is readable for its owner alone.`,
		Example: `  eve-metadata drive -o web.iso web
  eve-metadata drive -o - web | isoinfo -R -l -i /dev/stdin
  eve-metadata drive -m /etc/eve-metadata --kind configdrive -o db.iso db
  qemu-system-x86_64 … -cdrom web.iso`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) },
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return completeInstance(cmd, o.source, args)
		},
	}
	o.source.flags(cmd)
	cmd.Flags().StringVarP(&o.out, "output", "o", "", "file to write, - for standard output (required)")
	cmd.Flags().StringVar(&o.kind, "kind", "", "kind of drive: "+strings.Join(driveKindNames(), ", ")+" (default: what the config asks for)")
	completeFlag(cmd, "kind", driveKindNames())
	return cmd
}

func (o *driveOptions) run(cmd *cobra.Command, name string) error {
	if o.out == "" {
		return usageError{errors.New("where to write the drive is missing: give --output FILE")}
	}
	instances, err := preview(cmd.Context(), o.source, "")
	if err != nil {
		return err
	}
	inst, err := find(instances, name)
	if err != nil {
		return err
	}
	if err := o.choose(inst); err != nil {
		return err
	}
	label, tree, err := msrv.RenderDrive(dialects(), inst)
	if err != nil {
		return err
	}
	image, err := drive.Build(label, tree)
	if err != nil {
		return err
	}
	if o.out == "-" {
		_, err := cmd.OutOrStdout().Write(image)
		return err
	}
	if err := drive.WriteFile(o.out, image); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s, label %s\n", o.out, label)
	return err
}

// choose sets the kind of drive that was asked for.
func (o *driveOptions) choose(inst *instance.Instance) error {
	if o.kind == "" {
		if inst.Drive == instance.DriveNone {
			return fmt.Errorf("the config of %s asks for no drive; say which with --kind", inst)
		}
		return nil
	}
	for _, k := range driveKinds() {
		if k.String() == o.kind {
			inst.Drive = k
			return nil
		}
	}
	return usageError{fmt.Errorf("no kind of drive %q; there are: %s", o.kind, strings.Join(driveKindNames(), ", "))}
}

// driveKinds are the kinds of drive that some dialect has a part of.
func driveKinds() []instance.DriveKind {
	var kinds []instance.DriveKind
	for _, d := range dialects() {
		if d.Drive != nil {
			kinds = append(kinds, d.Drive.Kinds...)
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

func driveKindNames() []string {
	var names []string
	for _, k := range driveKinds() {
		names = append(names, k.String())
	}
	return names
}
