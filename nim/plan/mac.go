// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// MAC is an Ethernet address. The zero value means none.
type MAC [6]byte

// ErrMAC says that something is not an address which an adapter may have.
var ErrMAC = errors.New("not the MAC address of one adapter")

// MACFrom returns hw as a MAC, the zero one when hw is empty. It must have six bytes, and be neither a group address
// (IEEE 802) nor all zero.
func MACFrom(hw net.HardwareAddr) (MAC, error) {
	if len(hw) == 0 {
		return MAC{}, nil
	}
	if len(hw) != len(MAC{}) || hw[0]&1 != 0 || MAC(hw) == (MAC{}) {
		return MAC{}, fmt.Errorf("check %q: %w", hw, ErrMAC)
	}
	return MAC(hw), nil
}

// String returns the usual form, such as "02:16:3e:00:00:01".
func (m MAC) String() string { return m.HardwareAddr().String() }

// HardwareAddr returns a copy.
func (m MAC) HardwareAddr() net.HardwareAddr { return net.HardwareAddr(m[:]) }

// MarshalText implements encoding.TextMarshaler; no address is no text.
func (m MAC) MarshalText() ([]byte, error) {
	if m == (MAC{}) {
		return []byte{}, nil
	}
	return []byte(m.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *MAC) UnmarshalText(text []byte) error {
	*m = MAC{}
	if len(text) == 0 {
		return nil
	}
	hw, err := net.ParseMAC(string(text))
	if err != nil {
		return fmt.Errorf("parse MAC address: %w", err)
	}
	if len(hw) != len(m) {
		return fmt.Errorf("parse MAC address %q: %w", text, ErrMAC)
	}
	*m = MAC(hw)
	return nil
}

// guestMAC makes up a guest's address: locally administered, in the range that Xen's and OpenStack's tools use for guests.
func guestMAC(app, adapter string, attempt int) MAC {
	sum := digest("guest", app, adapter, attempt)
	return MAC{0x02, 0x16, 0x3e, sum[0], sum[1], sum[2]}
}

// hostMAC makes up the address of the host's side of a port.
func hostMAC(app, adapter string, attempt int) MAC {
	sum := digest("host", app, adapter, attempt)
	return MAC{0xfe, sum[0], sum[1], sum[2], sum[3], sum[4]}
}

// BridgeMAC makes up the address of an app network's bridge, given its network instance's UUID. It comes from another
// range than those of guests and ports.
func BridgeMAC(network string) MAC {
	sum := digest("bridge", network, "", 0)
	return MAC{0x06, 0x16, 0x3e, sum[0], sum[1], sum[2]}
}

// EUI64 returns the address that a host with that MAC address makes for itself in a subnet of IPv6 (RFC 4291, appendix A).
// There is none, and it is not valid, when the prefix has more than 64 bits or another family.
func EUI64(subnet netip.Prefix, mac MAC) netip.Addr {
	if !subnet.Addr().Is6() || subnet.Bits() > 64 {
		return netip.Addr{}
	}
	b := subnet.Masked().Addr().As16()
	copy(b[8:], []byte{mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
	return netip.AddrFrom16(b)
}

// LinkLocal returns the link-local address of IPv6 that a host with that MAC address makes for itself, unless it is told
// to make another one (RFC 7217, RFC 8981).
func LinkLocal(mac MAC) netip.Addr {
	return EUI64(netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfe, 0x80}), 64), mac)
}
