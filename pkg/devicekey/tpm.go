// SPDX-License-Identifier: Apache-2.0

package devicekey

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"os"
	"sync"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"golang.org/x/sys/unix"
)

// Persistent handles that EVE keeps its keys at (EVE, evetpm). The RSA keys are the endorsement key, made from the TCG's
// template, and the attestation identity key, which is restricted to sign what the TPM itself has said or hashed.
const (
	endorsementKey tpm2.TPMHandle = 0x81000001
	identityKey    tpm2.TPMHandle = 0x81000003
	ecdhKey        tpm2.TPMHandle = 0x81000005
	deviceKey      tpm2.TPMHandle = 0x817fffff
)

// maxPassword is how much of its credential EVE makes the device key's password of.
const maxPassword = 7

// inTurn runs what one caller wants of the TPM, when it is its turn, on a connection of its own. A TPM that is stuck costs
// its callers their patience and the service one goroutine: those that come later wait for that one's end. For a while
// after that nobody waits at all, since many would do so one after the other: the user data of all apps is opened in a row.
func inTurn[T any](k *Keys, f func(transport.TPM) (T, error)) (T, error) {
	var none T
	path := k.path(tpmFile)
	if ago, ok := k.silence.lasts(k.pause); ok {
		return none, fmt.Errorf("TPM %s: no answer %s ago", path, ago.Round(time.Second))
	}
	ctx, cancel := context.WithTimeout(context.Background(), k.patience)
	defer cancel()
	select {
	case k.turn <- struct{}{}:
	case <-ctx.Done():
		k.silence.begin()
		return none, fmt.Errorf("TPM %s: busy for %s", path, k.patience)
	}
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-k.turn }()
		value, err := converse(ctx, path, f)
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		if r.err == nil {
			return r.value, nil
		}
		if ctx.Err() == nil {
			return none, fmt.Errorf("TPM %s: %w", path, r.err)
		}
	case <-ctx.Done():
	}
	k.silence.begin()
	return none, fmt.Errorf("TPM %s: no answer for %s", path, k.patience)
}

// silence is when somebody last waited for the TPM in vain. Its zero value is never.
type silence struct {
	mu    sync.Mutex
	since time.Time
}

func (s *silence) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = time.Now()
}

// lasts returns how long ago that was, and whether it was within a pause.
func (s *silence) lasts(pause time.Duration) (ago time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ago = time.Since(s.since)
	return ago, !s.since.IsZero() && ago < pause
}

// converse opens the TPM for as long as f takes, but for no longer than the context lasts.
func converse[T any](ctx context.Context, path string, f func(transport.TPM) (T, error)) (T, error) {
	conn, err := dial(ctx, path)
	if err != nil {
		var none T
		return none, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if stop() {
			_ = conn.Close()
		}
	}()
	return f(transport.FromReadWriter(struct{ io.ReadWriter }{conn}))
}

// dial opens a TPM: the kernel's device, or the unix socket of an emulator.
func dial(ctx context.Context, path string) (io.ReadWriteCloser, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeSocket != 0:
		return new(net.Dialer).DialContext(ctx, "unix", path)
	case info.Mode()&fs.ModeCharDevice == 0:
		return nil, fmt.Errorf("neither a device nor a socket, but %s", info.Mode())
	}
	// Not through package os, whose files do not block: until its answer is there, the device would read as at its end.
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// key is the public part of a key in the TPM.
type key struct {
	handle tpm2.TPMHandle
	name   tpm2.TPM2BName
	area   []byte // TPMT_PUBLIC
	public *tpm2.TPMTPublic
}

func readPublic(t transport.TPM, handle tpm2.TPMHandle) (*key, error) {
	r, err := tpm2.ReadPublic{ObjectHandle: handle}.Execute(t)
	if err != nil {
		return nil, fmt.Errorf("read the key at %#x: %w", handle, err)
	}
	public, err := r.OutPublic.Contents()
	if err != nil {
		return nil, fmt.Errorf("read the key at %#x: %w", handle, err)
	}
	return &key{handle, r.Name, r.OutPublic.Bytes(), public}, nil
}

// with is the key and what makes the TPM use it.
func (k *key) with(auth tpm2.Session) tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: k.handle, Name: k.name, Auth: auth}
}

// own is the key at a handle, which has to be the one of a certificate.
func own(t transport.TPM, handle tpm2.TPMHandle, want *ecdsa.PublicKey, password []byte) (tpm2.AuthHandle, error) {
	key, err := readPublic(t, handle)
	if err != nil {
		return tpm2.AuthHandle{}, err
	}
	if got, err := tpm2.Pub(*key.public); err != nil || !want.Equal(got) {
		return tpm2.AuthHandle{}, fmt.Errorf("key at %#x: %w", handle, errForeign)
	}
	return key.with(tpm2.PasswordAuth(password)), nil
}

// tpmSigner is the device key in the TPM.
type tpmSigner struct {
	keys   *Keys
	public *ecdsa.PublicKey
}

// Public is the certificate's key.
func (s *tpmSigner) Public() crypto.PublicKey { return s.public }

// Sign signs a SHA-256 digest. Chance is the TPM's own.
func (s *tpmSigner) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts == nil || opts.HashFunc() != crypto.SHA256 || len(digest) != sha256.Size {
		return nil, errors.New("the device key signs SHA-256 digests only")
	}
	password, err := s.keys.password()
	if err != nil {
		return nil, err
	}
	return inTurn(s.keys, func(t transport.TPM) ([]byte, error) { return signECDSA(t, s.public, password, digest) })
}

// password is the device key's: the beginning of a credential that EVE made up. Without one it is empty, as the other keys'
// are.
func (k *Keys) password() ([]byte, error) {
	credential, err := readFile(k.path(credentialFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return credential[:min(len(credential), maxPassword)], nil
}

func signECDSA(t transport.TPM, public *ecdsa.PublicKey, password, digest []byte) ([]byte, error) {
	key, err := own(t, deviceKey, public, password)
	if err != nil {
		return nil, err
	}
	r, err := tpm2.Sign{
		KeyHandle: key,
		Digest:    tpm2.TPM2BDigest{Buffer: digest},
		InScheme: tpm2.TPMTSigScheme{
			Scheme:  tpm2.TPMAlgECDSA,
			Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256}),
		},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck},
	}.Execute(t)
	if err != nil {
		return nil, fmt.Errorf("sign with the key at %#x: %w", deviceKey, err)
	}
	signature, err := r.Signature.Signature.ECDSA()
	if err != nil {
		return nil, fmt.Errorf("sign with the key at %#x: %w", deviceKey, err)
	}
	return asn1.Marshal(struct{ R, S *big.Int }{number(signature.SignatureR), number(signature.SignatureS)})
}

func number(p tpm2.TPM2BECCParameter) *big.Int { return new(big.Int).SetBytes(p.Buffer) }
