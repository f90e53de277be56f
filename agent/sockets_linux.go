package agent

import (
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// packetInfo says that a socket for all addresses knows to which of them a
// datagram was sent, and can answer from it.
const packetInfo = true

// controlSize holds the control messages of one datagram.
const controlSize = 128

// prepare sets the options of a socket before it is bound.
func prepare(fd uintptr, v6 bool) error {
	s := int(fd)
	// Without privilege the buffers stay at the system's bound; that is no error.
	if unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer) != nil {
		_ = unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUF, socketBuffer)
	}
	if unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, socketBuffer) != nil {
		_ = unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_SNDBUF, socketBuffer)
	}
	if v6 {
		if err := unix.SetsockoptInt(s, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return err
		}
		return unix.SetsockoptInt(s, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	}
	// IKE messages may be fragmented on the way: nothing here would act on
	// "fragmentation needed".
	_ = unix.SetsockoptInt(s, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
	return unix.SetsockoptInt(s, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
}

// maxSources bounds the remembered control messages. A host has few addresses,
// but a datagram may be sent to any of 127.0.0.0/8.
const maxSources = 1024

// sources makes the control messages that set a datagram's source address, and
// remembers them.
type sources struct {
	mu   sync.RWMutex
	made map[netip.Addr][]byte
}

func (s *sources) control(local netip.Addr) []byte {
	s.mu.RLock()
	b := s.made[local]
	s.mu.RUnlock()
	if b != nil {
		return b
	}
	if local.Is4() {
		b = unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: local.As4()})
	} else {
		b = unix.PktInfo6(&unix.Inet6Pktinfo{Addr: local.As16()})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made == nil || len(s.made) >= maxSources {
		s.made = make(map[netip.Addr][]byte)
	}
	s.made[local] = b
	return b
}

// destination finds the address that a datagram was sent to. ok is false when
// the kernel did not say.
func destination(control []byte) (addr netip.Addr, ok bool) {
	for len(control) >= unix.SizeofCmsghdr {
		h, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return netip.Addr{}, false
		}
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			// struct in_pktinfo: ifindex, spec_dst, addr; the packet's own
			// destination is the last.
			return netip.AddrFrom4([4]byte(data[8:12])), true
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			return netip.AddrFrom16([16]byte(data[:16])), true
		}
		control = rest
	}
	return netip.Addr{}, false
}
