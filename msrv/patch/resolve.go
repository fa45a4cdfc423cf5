// SPDX-License-Identifier: Apache-2.0

package patch

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/lf-edge/eve-api/go/config"

	dialect "github.com/lf-edge/eve-metadata/msrv/dialect/eve"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// resolved is an envelope, put together.
type resolved struct {
	patch dialect.Patch // as guests fetch it
	// info is what is published: as zedagent has it, with the volumes that are there and the state that it thereby has. What
	// is encrypted stays so.
	info eve.PatchEnvelopeInfo
}

// resolution puts an envelope together.
type resolution struct {
	*Envelopes
	resolved
	errs []error
}

// resolve puts an envelope together, out of what there is now.
func (e *Envelopes) resolve(info *eve.PatchEnvelopeInfo) resolved {
	r := resolution{Envelopes: e, resolved: resolved{
		patch: dialect.Patch{ID: info.PatchID, Version: info.Version}, info: *info,
	}}
	r.info.BinaryBlobs = slices.Clone(info.BinaryBlobs)
	for _, text := range info.Errors {
		r.errs = append(r.errs, errors.New(text))
	}
	for _, b := range info.BinaryBlobs {
		r.addFile(b, nil)
	}
	for _, v := range info.VolumeRefs {
		if blob, ok := r.addVolume(v); ok {
			r.info.BinaryBlobs = withBlob(r.info.BinaryBlobs, blob)
		}
	}
	for i := range info.CipherBlobs {
		r.addCipher(&info.CipherBlobs[i])
	}
	return r.finish()
}

// finish says what is wrong. What does not count for guests then is left out.
func (r *resolution) finish() resolved {
	if len(r.errs) == 0 {
		return r.resolved
	}
	r.info.State, r.info.Errors = eve.PatchEnvelopeStateError, nil
	for _, err := range r.errs {
		r.info.Errors = append(r.info.Errors, err.Error())
	}
	err := fmt.Errorf("patch envelope %s: %w", r.patch.ID, errors.Join(r.errs...))
	return resolved{patch: dialect.Patch{ID: r.patch.ID, Version: r.patch.Version, Err: err}, info: r.info}
}

func (r *resolution) fail(name string, err error) {
	r.errs = append(r.errs, fmt.Errorf("file %q: %w", name, err))
}

// lower says that something has not come further than that.
func (r *resolution) lower(state eve.PatchEnvelopeState) { r.info.State = min(r.info.State, state) }

// addFile adds a file to those that guests fetch; text is the content of one that has no path.
func (r *resolution) addFile(b eve.BinaryBlobCompleted, text []byte) {
	if !isFileName(b.FileName) {
		r.fail(b.FileName, errors.New("it is no name of a file"))
		return
	}
	metadata, err := r.vault.metadata(b.ArtifactMetadata, &b.EncArtifactMeta)
	if err != nil {
		r.fail(b.FileName, err)
		return
	}
	b.ArtifactMetadata, b.EncArtifactMeta = metadata, eve.CipherBlockStatus{}
	file := dialect.PatchFile{BinaryBlobCompleted: b, Text: text}
	at := slices.IndexFunc(r.patch.Files, func(f dialect.PatchFile) bool { return f.FileName == b.FileName })
	if at >= 0 { // the later one counts (EVE, msrv)
		r.patch.Files[at] = file
		return
	}
	r.patch.Files = append(r.patch.Files, file)
}

// addVolume adds a file that is a volume, and returns it, as it came, if the volume is there.
func (r *resolution) addVolume(v eve.BinaryBlobVolumeRef) (eve.BinaryBlobCompleted, bool) {
	v.FileName = cmp.Or(v.FileName, v.ImageName) // EVE API, ExternalOpaqueBinaryBlob
	blob, ok := r.blobOf(&v)
	metadata, err := r.vault.metadata(v.ArtifactMetadata, &v.EncArtifactMeta)
	if err != nil {
		r.fail(v.FileName, err)
		return blob, ok
	}
	v.ArtifactMetadata, v.EncArtifactMeta = metadata, eve.CipherBlockStatus{}
	r.patch.Volumes = append(r.patch.Volumes, v)
	if ok {
		r.addFile(blob, nil)
	}
	return blob, ok
}

// blobOf is the file that a volume is, once the volume is made and the hash of its content is known.
func (r *resolution) blobOf(v *eve.BinaryBlobVolumeRef) (eve.BinaryBlobCompleted, bool) {
	volume, ok := volumeOf(r.cfg.Source, v.ImageID)
	if !ok {
		r.lower(eve.PatchEnvelopeStateReceived)
		return eve.BinaryBlobCompleted{}, false
	}
	content, ok := r.cfg.Source.Content(volume.ContentID.String())
	switch {
	case volume.Error != "":
		r.fail(v.FileName, fmt.Errorf("volume %s: %s", v.ImageID, volume.Error))
		return eve.BinaryBlobCompleted{}, false
	case volume.State < eve.SwStateCreatedVolume, !ok:
		r.lower(eve.PatchEnvelopeStateDownloading)
		return eve.BinaryBlobCompleted{}, false
	}
	return eve.BinaryBlobCompleted{
		FileName: v.FileName, FileSha: content.ContentSha256, Size: volume.TotalSize, URL: volume.FileLocation,
		FileMetadata: v.FileMetadata, ArtifactMetadata: v.ArtifactMetadata, EncArtifactMeta: v.EncArtifactMeta,
	}, true
}

// volumeOf finds a volume by its ID, which is not volumemgr's key: of several generations the last.
func volumeOf(s Source, id string) (last eve.VolumeStatus, ok bool) {
	generation := func(v *eve.VolumeStatus) int64 { return v.GenerationCounter + v.LocalGenerationCounter }
	for _, v := range s.Volumes() {
		if strings.EqualFold(v.VolumeID.String(), id) && (!ok || generation(&v) > generation(&last)) {
			last, ok = v, true
		}
	}
	return last, ok
}

// addCipher adds a file that came encrypted: its content, or the name of its volume.
func (r *resolution) addCipher(b *eve.BinaryCipherBlob) {
	switch {
	case b.Inline != nil: // decrypted already
		r.addFile(*b.Inline, nil)
	case b.Volume != nil:
		r.addVolume(*b.Volume)
	default:
		if err := r.decrypt(b); err != nil {
			r.fail(b.EncFileName, err)
		}
	}
}

// decrypt adds a file that zedagent has as a block in a file of its own.
func (r *resolution) decrypt(b *eve.BinaryCipherBlob) error {
	block, err := readBlock(r.cfg.Root, b.EncURL)
	if err != nil {
		return err
	}
	switch b.EncType {
	case eve.BlobEncrytedTypeInline:
		content, err := r.vault.open(block, new(config.InlineOpaqueBase64Data))
		if err != nil {
			return err
		}
		r.addInline(b, content.(*config.InlineOpaqueBase64Data))
	case eve.BlobEncrytedTypeVolume:
		content, err := r.vault.open(block, new(config.ExternalOpaqueBinaryBlob))
		if err != nil {
			return err
		}
		r.addExternal(b, content.(*config.ExternalOpaqueBinaryBlob))
	default:
		return fmt.Errorf("encrypted in a way that is not known: %v", b.EncType)
	}
	return nil
}

// addInline adds a file that came inside of the configuration. It is what was there: text in base64, which the guest decodes.
func (r *resolution) addInline(b *eve.BinaryCipherBlob, c *config.InlineOpaqueBase64Data) {
	text := append([]byte{}, c.GetBase64Data()...)
	sum := sha256.Sum256(text)
	r.addFile(eve.BinaryBlobCompleted{
		FileName: c.GetFileNameToUse(), FileSha: hex.EncodeToString(sum[:]), Size: int64(len(text)),
		FileMetadata: c.GetBase64MetaData(), ArtifactMetadata: b.ArtifactMetaData, EncArtifactMeta: b.EncArtifactMeta,
	}, text)
}

func (r *resolution) addExternal(b *eve.BinaryCipherBlob, c *config.ExternalOpaqueBinaryBlob) {
	r.addVolume(eve.BinaryBlobVolumeRef{
		FileName: c.GetFileNameToUse(), ImageName: c.GetImageName(), ImageID: c.GetImageId(),
		FileMetadata: c.GetBlobMetaData(), ArtifactMetadata: b.ArtifactMetaData, EncArtifactMeta: b.EncArtifactMeta,
	})
}

// withBlob adds a file to a list, in the place of one of the same name.
func withBlob(list []eve.BinaryBlobCompleted, b eve.BinaryBlobCompleted) []eve.BinaryBlobCompleted {
	at := slices.IndexFunc(list, func(old eve.BinaryBlobCompleted) bool { return old.FileName == b.FileName })
	if at < 0 {
		return append(list, b)
	}
	list[at] = b
	return list
}

// isFileName tells whether a guest can use a name of the controller's: as part of a URL, and in an archive, from which it
// leads nowhere but where the archive is unpacked.
func isFileName(name string) bool {
	return fs.ValidPath(name) && name != "." && !strings.ContainsFunc(name, func(r rune) bool {
		return r == '\\' || r < ' ' || r == 0x7f
	})
}
