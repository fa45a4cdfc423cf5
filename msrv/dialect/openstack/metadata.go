// SPDX-License-Identifier: Apache-2.0

package openstack

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// maxFiles is how many files the four digits of a content path can tell apart.
const maxFiles = 10000

// metaData makes meta_data.json as a version has it.
func (r *renderer) metaData(v string) (*document.Node, error) {
	md := metaData{
		UUID:             r.in.ID(),
		Meta:             r.in.Tags,
		Files:            r.files,
		AdminPass:        r.adminPass,
		Hostname:         r.in.FQDN(),
		Name:             r.in.Name,
		LaunchIndex:      r.in.LaunchIndex,
		AvailabilityZone: r.in.AvailabilityZone,
	}
	md.PublicKeys, md.Keys = sshKeys(r.keys)
	if v >= grizzly {
		md.RandomSeed = r.in.RandomSeed
	}
	if v >= liberty {
		md.ProjectID = r.in.ProjectID
	}
	if v >= newtonOne {
		md.Devices = devices(r.nics, r.in.BlockDevices, v)
	}
	if v >= victoria {
		md.DedicatedCPUs = dedicatedCPUs(r.in.DedicatedCPUs)
	}
	doc, err := document.JSON(md)
	if err != nil {
		return nil, err
	}
	if r.meta == nil || !bytes.Equal(doc.Body(), r.meta.Document().Body()) {
		r.meta = document.File(doc)
	}
	return r.meta, nil
}

func sshKeys(in []instance.Key) (map[string]string, []key) {
	byName := make(map[string]string, len(in))
	var list []key
	for _, k := range in {
		byName[k.Name] = k.Data
		list = append(list, key{Name: k.Name, Type: "ssh", Data: k.Data})
	}
	return byName, list
}

// dedicatedCPUs are the numbers of processors in order, each once.
func dedicatedCPUs(in []int) []int {
	out := []int{}
	for _, n := range in {
		if n >= 0 {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// files are the entries of meta_data.json, sorted by path, and the directory of their contents; nil
// where there are no files. The directory has no listing, as in Nova.
func files(in []instance.File) ([]file, *document.Node, error) {
	if len(in) == 0 {
		return nil, nil, nil
	}
	if len(in) > maxFiles {
		return nil, nil, fmt.Errorf("%d files are more than the limit of %d", len(in), maxFiles)
	}
	sorted := slices.SortedStableFunc(slices.Values(in), func(a, b instance.File) int {
		return cmp.Compare(a.Path, b.Path)
	})
	list := make([]file, len(sorted))
	entries := make([]document.Entry, len(sorted))
	for i, f := range sorted {
		name := fmt.Sprintf("%04d", i)
		list[i] = file{Path: f.Path, ContentPath: "/content/" + name}
		entries[i] = document.Entry{Name: name, Node: document.File(document.New(document.TypeBytes, f.Content))}
	}
	return list, document.Directory(nil, entries...), nil
}
