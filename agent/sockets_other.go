//go:build !linux

package agent

import (
	"net/netip"
	"syscall"
)

// packetInfo is false here: each address of this host gets a socket of its own.
const packetInfo = false

// controlSize is the room for control messages; there are none.
const controlSize = 0

// prepare sets the options of a socket before it is bound.
func prepare(fd uintptr, _ bool) error {
	_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, socketBuffer)
	return nil
}

// sources does nothing: a socket sends from the address it is bound to.
type sources struct{}

func (*sources) control(netip.Addr) []byte { return nil }

func destination([]byte) (netip.Addr, bool) { return netip.Addr{}, false }
