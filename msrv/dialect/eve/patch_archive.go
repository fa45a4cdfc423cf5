// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"archive/zip"
	"compress/flate"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
)

// maxArchives is how many archives are made for one guest at the same time. Each takes what it can of a processor.
const maxArchives = 2

// archive delivers all files of a patch envelope in a ZIP archive, which is nowhere but on its way to the guest. There is none
// of some of the files: the guest would take them for all.
func (s patchServer) archive(r *dialect.Request, p *Patch) *dialect.Answer {
	if missing := p.missing(); missing != nil {
		return notFound("not on the node yet: " + strings.Join(missing, ", "))
	}
	return stream(func(w http.ResponseWriter, _ *http.Request) error {
		leave := s.archives.take(r.Instance.UUID)
		if leave == nil {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "429 Too Many Requests", http.StatusTooManyRequests)
			return nil
		}
		defer leave()
		for i := range p.Files { // as long as the guest can be told that something is wrong
			if err := s.with(p, &p.Files[i], func(content) error { return nil }); err != nil {
				return err
			}
		}
		w.Header().Set("Content-Type", "application/zip")
		s.count(r, p)
		if r.Method == http.MethodHead {
			return nil
		}
		if err := s.writeArchive(w, p); err != nil {
			panic(http.ErrAbortHandler) // so that nobody takes this for the end of the archive
		}
		return nil
	})
}

// missing are the names of the files that are yet to come.
func (p *Patch) missing() []string {
	var names []string
	for _, v := range p.Volumes {
		if !slices.ContainsFunc(p.Files, func(f PatchFile) bool { return f.FileName == v.FileName }) {
			names = append(names, v.FileName)
		}
	}
	return names
}

// writeArchive writes the archive, of which it has one file open at a time. It compresses quickly rather than well: most of
// what is large is compressed already, and the node has other things to do.
func (s patchServer) writeArchive(w io.Writer, p *Patch) error {
	archive := zip.NewWriter(w)
	archive.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, flate.BestSpeed)
	})
	for i := range p.Files {
		f := &p.Files[i]
		err := s.with(p, f, func(c content) error {
			entry, err := archive.Create(f.FileName)
			if err == nil {
				_, err = io.Copy(entry, c)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return archive.Close()
}
