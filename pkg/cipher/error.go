// SPDX-License-Identifier: Apache-2.0

package cipher

import "fmt"

// Kind is the kind of an outcome other than plain success. The numbers are the places in eve.CipherMetrics.TypeCounters
// (EVE, CipherError of pillar's types and of the EVE API's metrics).
type Kind uint8

// The kinds. Those from CleartextFallback on are UserData's; of them only MissingFallback is an error.
const (
	Invalid           Kind = iota // the block is not an encrypted one: the caller's mistake
	NotReady                      // a context or a certificate is not there, yet, or the block's publisher has a problem with it
	DecryptFailed                 // the block, a certificate or a key is not what it should be
	UnmarshalFailed               // it was decrypted, and is not the message that was asked for
	CleartextFallback             // the publisher has a problem with the block, and clear text took its place
	MissingFallback               // the same, and there is no clear text
	NoCipher                      // the data came as clear text
	NoData                        // there is no data
	kinds
)

var kindNames = [kinds]string{
	"Invalid", "NotReady", "DecryptFailed", "UnmarshalFailed", "CleartextFallback", "MissingFallback", "NoCipher", "NoData",
}

// String is EVE's name of the kind.
func (k Kind) String() string {
	if k >= kinds {
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
	return kindNames[k]
}

// Error says why a block was not decrypted. NotReady may be over as soon as a topic changes; the other kinds last until
// the block itself or a key does.
type Error struct {
	Kind  Kind
	Block string // CipherBlockID
	Err   error  // the reason
}

// Error names the block and the reason.
func (e *Error) Error() string { return fmt.Sprintf("encrypted block %q: %v", e.Block, e.Err) }

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// failed is the Error, of a block yet to be named, whose reason fmt.Errorf words.
func failed(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}
