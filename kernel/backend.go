package kernel

import (
	"errors"
	"net/netip"

	"racoon2/ikev2/transform"
)

// The causes that callers tell apart.
var (
	ErrExists      = errors.New("already exists")
	ErrNotFound    = errors.New("not found")
	ErrUnsupported = errors.New("not supported by this kernel")
)

// Capabilities says what a backend can do, so that nobody asks for the
// operating system's name.
type Capabilities struct {
	ESN           bool
	MaxReplay     uint32 // largest anti-replay window in packets
	Forward       bool   // policies have a Forward direction
	PortRanges    bool   // a selector may hold any port range; otherwise PortRange.Split
	ByteLifetimes bool
	Migrate       bool
	Marks         bool
	IfID          bool // XFRM interfaces
	Offload       bool // devices that encrypt
	MSS           bool // Policy.MSS has its effect
	Bundles       bool // policies may have several templates
	AH            bool
	Comp          []transform.COMP // of IPComp
	Encap         bool             // ESP in UDP
	Fragments     bool             // SA.Fragments has its effect
	UpdateSA      bool
	Mapping       bool // the backend reports NAT rebindings itself
	KeepsND       bool // IPv6 neighbour discovery passes whatever the policies say
	Encr          []transform.ENCR
	Integ         []transform.INTEG
	ClearInbound  string // "" when arriving clear packets that a policy protects are dropped; otherwise why they are not
}

// Socket is one of the agent's UDP sockets, as a backend sees it.
type Socket interface {
	// Control runs f on the socket's descriptor (syscall.RawConn's contract).
	Control(f func(fd uintptr)) error
	// LocalPort is the bound port.
	LocalPort() uint16
	// IPv6 says that the socket is of that family.
	IPv6() bool
	// WriteFrom sends one datagram from the local address given.
	WriteFrom(datagram []byte, local netip.Addr, remote netip.AddrPort) error
}

// Backend is one carrier of IPsec. Submit never blocks; every Request gets one
// Result, in the order of submission. Both channels are closed by Close.
// A reader that is too slow loses events, never results, and then gets Resync.
type Backend interface {
	Name() string
	Capabilities() Capabilities
	Submit(Request)
	Results() <-chan Result
	Events() <-chan Event

	// Bypass exempts a socket of the agent from all policies.
	Bypass(Socket) error
	// AttachEncap makes a socket, bound to the NAT traversal port, carry ESP in UDP.
	AttachEncap(Socket) error
	// ReceiveEncap takes an ESP packet that arrived on an attached socket;
	// backends whose kernel takes them itself count it as stray.
	// The slice is the caller's again after the call.
	ReceiveEncap(local, remote netip.AddrPort, packet []byte)

	// Close removes whatever the backend itself put on the host (a TUN device,
	// its routes and guards). SAs and policies are their owners' to remove.
	Close() error
}
