package kernel

import "net/netip"

// PortRange is an inclusive range of ports; {0, 65535} is any. For ICMP the
// source range holds the type and the destination range the code (RFC 4301 §4.4.1.1).
type PortRange struct {
	First, Last uint16
}

// AnyPort is the range of all ports.
var AnyPort = PortRange{0, 65535}

// Selector describes traffic from its source to its destination.
type Selector struct {
	Src, Dst         netip.Prefix // masked
	Proto            uint8        // upper-layer protocol; 0 is any
	SrcPort, DstPort PortRange
}
