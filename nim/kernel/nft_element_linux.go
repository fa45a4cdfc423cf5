// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim/plan"
)

// errElement says that something is not an element of its set.
var errElement = errors.New("not an element of the set")

// elementType is what the elements of a set are made of: one part, or several that are looked up together.
type elementType []part

// part is a type of what an element is made of: as nft(8) calls it, and how its text and its bytes are made of each other.
type part struct {
	nftables.SetDatatype
	encode func(text string) ([]byte, error)
	decode func(b []byte) (string, error)
}

// The parts of our elements.
var (
	partIfname = part{nftables.TypeIFName, encodeIfname, decodeIfname}
	partEther  = part{nftables.TypeEtherAddr, encodeEther, decodeEther}
	partIP     = part{nftables.TypeIPAddr, encodeAddr(4), decodeAddr}
	partIP6    = part{nftables.TypeIP6Addr, encodeAddr(16), decodeAddr}
)

// separator stands between the parts of an element.
const separator = " . "

// registerSize is what the parts of an element are padded to.
const registerSize = 4

func padded(size uint32) int { return int(size+registerSize-1) / registerSize * registerSize }

// encode returns an element's bytes, given its text as plans have it.
func (t elementType) encode(text string) ([]byte, error) {
	parts := strings.Split(text, separator)
	if len(parts) != len(t) {
		return nil, fmt.Errorf("encode %q: %d parts instead of %d: %w", text, len(parts), len(t), errElement)
	}
	var key []byte
	for i, p := range t {
		b, err := p.encode(parts[i])
		if err != nil {
			return nil, fmt.Errorf("encode %q: %w", text, err)
		}
		key = append(key, b...)
		key = append(key, make([]byte, padded(p.Bytes)-len(b))...)
	}
	return key, nil
}

// decode returns an element's text, given its bytes.
func (t elementType) decode(key []byte) (string, error) {
	parts := make([]string, len(t))
	rest := key
	for i, p := range t {
		if len(rest) < padded(p.Bytes) {
			return "", fmt.Errorf("decode % x: too short: %w", key, errElement)
		}
		text, err := p.decode(rest[:p.Bytes])
		if err != nil {
			return "", fmt.Errorf("decode % x: %w", key, err)
		}
		parts[i], rest = text, rest[padded(p.Bytes):]
	}
	if len(rest) > 0 {
		return "", fmt.Errorf("decode % x: too long: %w", key, errElement)
	}
	return strings.Join(parts, separator), nil
}

// parts returns the bytes of some parts of an element, from the one at a place on.
func (t elementType) parts(key []byte, at, count int) []byte {
	return key[t[:at].size():t[:at+count].size()]
}

// size is how many bytes an element has.
func (t elementType) size() (size int) {
	for _, p := range t {
		size += padded(p.Bytes)
	}
	return size
}

// datatype returns the type as the kernel and nft(8) know it.
func (t elementType) datatype() (nftables.SetDatatype, error) {
	if len(t) == 1 {
		return t[0].SetDatatype, nil
	}
	types := make([]nftables.SetDatatype, len(t))
	for i, p := range t {
		types[i] = p.SetDatatype
	}
	return nftables.ConcatSetType(types...)
}

// ifname returns the name of an interface as the kernel has it.
func ifname(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

// encodeIfname takes what the kernel takes for the name of an interface.
func encodeIfname(text string) ([]byte, error) {
	if text == "" || len(text) >= unix.IFNAMSIZ || strings.ContainsAny(text, "\x00/: \t\n\v\f\r") {
		return nil, fmt.Errorf("check interface name %q: %w", text, errElement)
	}
	return ifname(text), nil
}

func decodeIfname(b []byte) (string, error) {
	name := string(bytes.TrimRight(b, "\x00"))
	_, err := encodeIfname(name)
	return name, err
}

func encodeEther(text string) ([]byte, error) {
	mac, err := net.ParseMAC(text)
	if err != nil || len(mac) != len(plan.MAC{}) {
		return nil, fmt.Errorf("check MAC address %q: %w", text, errElement)
	}
	return mac, nil
}

func decodeEther(b []byte) (string, error) { return net.HardwareAddr(b).String(), nil }

// encodeAddr returns the encoder of addresses of that many bytes.
func encodeAddr(size int) func(string) ([]byte, error) {
	return func(text string) ([]byte, error) {
		a, err := netip.ParseAddr(text)
		if err != nil || a.BitLen() != 8*size || a.Zone() != "" {
			return nil, fmt.Errorf("check address %q of %d bytes: %w", text, size, errElement)
		}
		return a.AsSlice(), nil
	}
}

func decodeAddr(b []byte) (string, error) {
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return "", errElement
	}
	return a.String(), nil
}
