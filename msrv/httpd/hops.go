// SPDX-License-Identifier: Apache-2.0

package httpd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// connectionKey is the connection's in a request's context.
type connectionKey struct{}

// withConnection keeps the connection that a request comes in on, for originOf and limitHops.
func withConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, c)
}

// limitHops sets how many hops away what is sent on the request's connection from now on may be received:
// IP's time to live (RFC 791), or IPv6's hop limit (RFC 8200).
func limitHops(ctx context.Context, hops int) error {
	conn, _ := ctx.Value(connectionKey{}).(net.Conn)
	if c, ok := conn.(*counted); ok {
		conn = c.Conn
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return errors.New("the connection is none of IP's")
	}
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		return fmt.Errorf("read the connection's own address: %w", err)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return fmt.Errorf("reach the connection's socket: %w", err)
	}
	level, option := syscall.IPPROTO_IPV6, syscall.IPV6_UNICAST_HOPS
	if local.Addr().Unmap().Is4() {
		level, option = syscall.IPPROTO_IP, syscall.IP_TTL
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = syscall.SetsockoptInt(int(fd), level, option, hops) })
	return errors.Join(err, failed)
}
