// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// Patches are the patch envelopes of the node: files that the controller offers to some of its apps (EVE,
// PATCH-ENVELOPES.md). All methods may be called from any goroutine.
type Patches interface {
	// Of returns those that an app may fetch now, in the controller's order.
	Of(app string) []Patch
	// Told counts that an app was told of a patch envelope, and Fetched that it fetches it or a file of it.
	Told(app string, p *Patch)
	Fetched(app string, p *Patch)
}

// Patch is a patch envelope.
type Patch struct {
	ID, Version string
	// Files are those that are on the node. Each has a name of its own, which is fit for an archive.
	Files []PatchFile
	// Volumes are the files that are volumes, as the controller has them. One that is not among Files is yet to come.
	Volumes []eve.BinaryBlobVolumeRef
	// Err is why the envelope cannot be had, for the log; nil for one that can.
	Err error
}

// PatchFile is a file of a patch envelope. Nothing in it is encrypted, and its URL is the file's path on the node.
type PatchFile struct {
	eve.BinaryBlobCompleted
	// Text is the content of a file that came encrypted, and has no path; nil for the others.
	Text []byte
}

// patchPath is where patch envelopes are, by ID, and their files, by ID and name.
const patchPath = "eve/v1/patch/download"

func patchRoutes(c Config) []route {
	if c.Patches == nil {
		return nil
	}
	s := patchServer{c.Patches, c.Root, newPlaces(maxArchives)}
	return []route{get("eve/v1/patch/description.json", s.describe), getBelow(patchPath, s.download)}
}

// patchServer answers what guests ask of patch envelopes.
type patchServer struct {
	patches  Patches
	root     string
	archives *places
}

// patchDescription is what a guest is told of a patch envelope, in EVE's words.
type patchDescription struct {
	PatchID     string
	Version     string
	BinaryBlobs []eve.BinaryBlobCompleted
	VolumeRefs  []eve.BinaryBlobVolumeRef
}

// describe lists the caller's patch envelopes. One that cannot be had is left out, since it is no reason to keep the others
// from the guest; when it is the only one, the guest is not to believe that there is none.
func (s patchServer) describe(r *dialect.Request, _ string) *dialect.Answer {
	var list []patchDescription
	var errs []error
	for _, p := range s.patches.Of(r.Instance.UUID) {
		if p.Err != nil {
			errs = append(errs, p.Err)
			continue
		}
		list = append(list, p.describe(r))
		if r.Method != http.MethodHead {
			s.patches.Told(r.Instance.UUID, &p)
		}
	}
	switch {
	case list != nil:
		return sayJSON(http.StatusOK, list)
	case errs != nil:
		return failed(errors.Join(errs...))
	}
	return noPatches(r)
}

// describe words a patch envelope for a guest.
func (p *Patch) describe(r *dialect.Request) patchDescription {
	d := patchDescription{
		PatchID: p.ID, Version: p.Version, BinaryBlobs: []eve.BinaryBlobCompleted{}, VolumeRefs: []eve.BinaryBlobVolumeRef{},
	}
	for _, f := range p.Files {
		f.URL = urlOf(r, patchPath+"/"+p.ID, f.FileName)
		d.BinaryBlobs = append(d.BinaryBlobs, f.BinaryBlobCompleted)
	}
	d.VolumeRefs = append(d.VolumeRefs, p.Volumes...)
	return d
}

// download delivers "<patch>", all its files in an archive, or "<patch>/<file>". The codes are EVE's.
func (s patchServer) download(r *dialect.Request, below string) *dialect.Answer {
	id, name, single := strings.Cut(below, "/")
	patches := s.patches.Of(r.Instance.UUID)
	at := slices.IndexFunc(patches, func(p Patch) bool { return p.ID == id })
	switch {
	case id == "":
		return dialect.Refuse(http.StatusNotFound)
	case len(patches) == 0:
		return noPatches(r)
	case at < 0 && single:
		return notFound("patch is not found")
	case at < 0:
		return dialect.Refuse(http.StatusUnauthorized)
	case patches[at].Err != nil:
		return failed(patches[at].Err)
	case single:
		return s.file(r, &patches[at], name)
	}
	return s.archive(r, &patches[at])
}

// file delivers one file.
func (s patchServer) file(r *dialect.Request, p *Patch, name string) *dialect.Answer {
	at := slices.IndexFunc(p.Files, func(f PatchFile) bool { return f.FileName == name })
	if at < 0 {
		return notFound("file is not found")
	}
	return stream(func(w http.ResponseWriter, req *http.Request) error {
		return s.with(p, &p.Files[at], func(c content) error {
			s.count(r, p)
			c.deliver(w, req)
			return nil
		})
	})
}

// count counts a download.
func (s patchServer) count(r *dialect.Request, p *Patch) {
	if r.Method != http.MethodHead {
		s.patches.Fetched(r.Instance.UUID, p)
	}
}

// with does something with the content of a file: the text that came encrypted, or what is on the node.
func (s patchServer) with(p *Patch, f *PatchFile, do func(content) error) error {
	if f.Text != nil {
		return do(content{ReadSeeker: bytes.NewReader(f.Text), mediaType: document.TypeText, etag: entityTag(f.FileSha)})
	}
	file, err := OpenFile(s.root, f.URL)
	if err != nil {
		return fmt.Errorf("patch %s, file %q: %w", p.ID, f.FileName, err)
	}
	defer file.Close()
	size, err := p.sizeOf(f, file)
	if err != nil {
		return fmt.Errorf("patch %s, file %q: %w", p.ID, f.FileName, err)
	}
	c := file.first(size)
	c.etag = entityTag(f.FileSha)
	return do(c)
}

// sizeOf is how much of a file on the node is the file of the patch envelope. Of a volume's device it is what was downloaded,
// and the rest is padding (EVE, msrv). A volume that is a file is served whole: it may be larger or smaller than what was
// downloaded, which may have been in several parts, or converted since. Any other file has to be of its size.
func (p *Patch) sizeOf(f *PatchFile, file *File) (int64, error) {
	isVolume := slices.ContainsFunc(p.Volumes, func(v eve.BinaryBlobVolumeRef) bool { return v.FileName == f.FileName })
	want := cmp.Or(f.Size, file.Size)
	switch {
	case isVolume && !file.Device:
		return file.Size, nil
	case file.Size < want || file.Size > want && !file.Device:
		return 0, fmt.Errorf("%s has %d bytes, and should have %d", f.URL, file.Size, want)
	}
	return want, nil
}

// entityTag is the strong ETag of what has a hash, in hexadecimal digits; "" for none.
func entityTag(hash string) string {
	if hash == "" || strings.Trim(hash, "0123456789ABCDEFabcdef") != "" {
		return ""
	}
	return `"` + hash + `"`
}

// noPatches is the answer to a guest for which there are no patch envelopes.
func noPatches(r *dialect.Request) *dialect.Answer {
	return notFound("No envelopes for " + r.Instance.UUID)
}

func notFound(what string) *dialect.Answer { return sayJSON(http.StatusNotFound, refusal{what}) }
