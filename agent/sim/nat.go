package sim

import (
	"net/netip"
)

// NAT is a network address and port translator between a network and the rest.
// It translates UDP with endpoint-independent mappings (RFC 4787 §4.1), and
// lets nothing else pass, ESP included.
type NAT struct {
	Inside  netip.Prefix
	Outside netip.Addr
}

// firstNATPort is where mappings start.
const firstNATPort = 20001

type natState struct {
	NAT
	out  map[netip.AddrPort]uint16
	in   map[uint16]netip.AddrPort
	next uint16
}

func newNAT(n NAT) *natState {
	s := &natState{NAT: n, next: firstNATPort}
	s.forget()
	return s
}

// forget drops all mappings, as a translator does that is restarted. Ports go
// on from where they were, so that a mapping never comes back by accident.
func (s *natState) forget() {
	s.out = make(map[netip.AddrPort]uint16)
	s.in = make(map[uint16]netip.AddrPort)
}

// rebind forgets them, too, and has another address from now on.
func (s *natState) rebind(outside netip.Addr) {
	s.Outside = outside
	s.forget()
}

// outward translates a source inside.
func (s *natState) outward(src netip.AddrPort) netip.AddrPort {
	port, ok := s.out[src]
	if !ok {
		port = s.next
		s.next++
		s.out[src] = port
		s.in[port] = src
	}
	return netip.AddrPortFrom(s.Outside, port)
}

// translate takes a UDP datagram's addresses through all NATs; false when one
// of them lets it not pass. Port 0 stands for a protocol without ports.
func (n *network) translate(src, dst netip.AddrPort) (netip.AddrPort, netip.AddrPort, bool) {
	for _, s := range n.nats {
		inside, toInside := s.Inside.Contains(src.Addr()), s.Inside.Contains(dst.Addr())
		switch {
		case inside && toInside:
			continue
		case toInside:
			return src, dst, false // private addresses cannot be reached
		case inside:
			if dst.Port() == 0 {
				return src, dst, false
			}
			src = s.outward(src)
		}
		if dst.Addr() == s.Outside {
			back, ok := s.in[dst.Port()]
			if !ok {
				return src, dst, false
			}
			dst = back
		}
	}
	return src, dst, true
}
