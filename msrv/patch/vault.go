// SPDX-License-Identifier: Apache-2.0

package patch

import (
	"crypto/sha256"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lf-edge/eve-api/go/evecommon"

	dialect "github.com/lf-edge/eve-metadata/msrv/dialect/eve"
	"github.com/lf-edge/eve-metadata/pkg/cipher"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

const (
	// retryAfter is how long a block that could not be decrypted is not tried again: a TPM takes its time, and guests have
	// none.
	retryAfter = 10 * time.Second
	// maxBlock is the size of the largest file with a block that is read, in bytes. The controller's configuration, which
	// the block comes from, has 10 kB for a file (EVE, PATCH-ENVELOPES.md).
	maxBlock = 1 << 20
)

// vault decrypts, each block once: what was in it stays in memory for as long as an envelope has it. It is for any number of
// goroutines.
type vault struct {
	opener *cipher.Opener

	mu     sync.Mutex
	opened map[[sha256.Size]byte]*opened // by block
}

// opened is what became of a block.
type opened struct {
	content proto.Message
	err     error
	at      time.Time
	used    bool // since the last sweep
}

func newVault(opener *cipher.Opener) vault {
	return vault{opener: opener, opened: make(map[[sha256.Size]byte]*opened)}
}

// open decrypts a block into a message, unless it has one that was decrypted before. The message is shared.
func (v *vault) open(block *eve.CipherBlockStatus, into proto.Message) (proto.Message, error) {
	text, err := json.Marshal(block)
	if err != nil {
		return nil, err
	}
	key := sha256.Sum256(fmt.Appendf(text, "%T", into))
	v.mu.Lock()
	defer v.mu.Unlock()
	o := v.opened[key]
	if o == nil || o.err != nil && time.Since(o.at) >= retryAfter {
		o = &opened{content: into, err: v.opener.OpenInto(block, into), at: time.Now()}
		v.opened[key] = o
	}
	o.used = true
	return o.content, o.err
}

// sweep forgets what nobody has asked for since the last sweep.
func (v *vault) sweep() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for key, o := range v.opened {
		if !o.used {
			delete(v.opened, key)
		}
		o.used = false
	}
}

// metadata is what is said about an artifact: the text, or what a block holds in its place.
func (v *vault) metadata(text string, block *eve.CipherBlockStatus) (string, error) {
	if !block.IsCipher {
		return text, nil
	}
	content, err := v.open(block, new(evecommon.EncryptionBlock))
	if err != nil {
		return "", err
	}
	return content.(*evecommon.EncryptionBlock).GetEncryptedData(), nil
}

// readBlock reads the file in which zedagent keeps an encrypted file of an envelope.
func readBlock(root, path string) (*eve.CipherBlockStatus, error) {
	f, err := dialect.OpenFile(root, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Size > maxBlock {
		return nil, fmt.Errorf("read %s: %d bytes are more than an encrypted file may have", path, f.Size)
	}
	block, err := decodeBlock(io.LimitReader(f, maxBlock))
	if err != nil {
		return nil, fmt.Errorf("read %s: no encrypted block: %w", path, err)
	}
	return block, nil
}

// decodeBlock reads a block as zedagent writes it to a file: by encoding/gob, which goes by the names of fields.
func decodeBlock(r io.Reader) (*eve.CipherBlockStatus, error) {
	var block eve.CipherBlockStatus
	if err := gob.NewDecoder(r).Decode(&block); err != nil {
		return nil, err
	}
	return &block, nil
}
