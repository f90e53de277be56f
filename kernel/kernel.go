// Package kernel is the vocabulary between racoon2 and whatever carries out
// IPsec on a host: SAs, policies, selectors, lifetimes, the operations on them
// and the events that come back. A Backend is one such carrier; the backends
// are the packages below this one. Nothing here does I/O, and no sockaddr and
// no netlink attribute appears in it.
//
// The shape is PF_KEY's (RFC 2367), because that is what all systems share.
// Never install a key again at a lower sequence number: AEAD nonces would repeat.
package kernel

import (
	"net/netip"
	"time"

	"racoon2/ikev2/transform"
)

// SPI is a security parameter index (RFC 4301 §4.1); 0 is "none", 1–255 are reserved.
type SPI uint32

// Protocol is the IP protocol number of an IPsec transform.
type Protocol uint8

// The IPsec protocols.
const (
	AH     Protocol = 51
	ESP    Protocol = 50
	IPComp Protocol = 108
)

// Mode is transport or tunnel (RFC 4301 §4.1).
type Mode uint8

// The modes.
const (
	Transport Mode = iota + 1
	Tunnel
)

// Direction is the way traffic goes, seen from this host.
type Direction uint8

// The directions. Forward is Linux's third policy direction: traffic that
// arrives in a tunnel and is routed on.
const (
	In Direction = iota + 1
	Out
	Forward
)

// Action is what a policy does with traffic.
type Action uint8

// The actions.
const (
	Protect Action = iota + 1 // apply the templates
	Discard                   // drop
	Bypass                    // let pass in clear
)

// Level says how binding a template is (PF_KEY's policy levels).
type Level uint8

// The levels.
const (
	Require Level = iota + 1 // no traffic without an SA
	Use                      // in clear while no SA stands
	Unique                   // Require, and the SA serves this policy alone
)

// Owner names who asked for an operation; results and events carry it back.
type Owner struct {
	Engine EngineID
	Shard  uint8
	Serial uint64 // the owner's own number for the exchange, SA or policy concerned
}

// EngineID is one of the cores.
type EngineID uint8

// The cores that own kernel state.
const (
	NoEngine EngineID = iota
	PolicyManager
	IKEv2
	KINK
)

// SAID identifies an SA in a kernel (RFC 4301 §4.1: SPI, destination, protocol).
type SAID struct {
	Dst   netip.Addr
	Proto Protocol
	SPI   SPI
}

// Lifetime bounds an SA or a policy; a zero field is no bound.
type Lifetime struct {
	Time  time.Duration // since the SA was added
	Bytes uint64
}

// Encap is UDP encapsulation of ESP (RFC 3948). Local and Remote are the ports
// of this host and the peer, whatever the SA's direction.
type Encap struct {
	Local, Remote uint16
}

// Mark is a firewall mark: only the bits of Mask count. The zero Mark is none.
type Mark struct {
	Value, Mask uint32
}

// Offload says what a network device does of an SA or a policy.
type Offload uint8

// What a device may do.
const (
	NoOffload     Offload = iota
	OffloadCrypto         // the cipher alone
	OffloadPacket         // the whole of ESP
)

// Binding ties an SA or a policy to things of this host beyond its addresses.
// The zero Binding ties it to nothing. Backends whose Capabilities lack a field
// refuse it with ErrUnsupported.
type Binding struct {
	IfID    uint32 // of the XFRM interface; 0: none
	Mark    Mark   // packets that it applies to
	Set     Mark   // given to packets that an SA has processed; not for policies
	Offload Offload
	Device  string // that Offload is asked of
}

// Inbound is what an inbound SA has of a policy's binding. Packets arrive from
// the network without a mark: the SA gives it to what it has opened, so that the
// inbound policy finds it.
func (b Binding) Inbound() Binding {
	b.Mark, b.Set = Mark{}, b.Mark
	return b
}

// SA is a security association for one direction. AH has only the Integ fields,
// IPComp only Comp; its SPI is a CPI, at most 65535 (RFC 3173 §3.3). Where several
// protect one packet, each is an SA of its own, in the order of Policy.Templates.
type SA struct {
	SAID
	Src       netip.Addr
	Direction Direction // In or Out
	Mode      Mode
	ReqID     uint32
	Selector  Selector // the traffic inside; In checks arriving packets against it (RFC 4301 §5.2)
	Encr      transform.ENCR
	EncrKey   []byte // with the salt appended for counter-mode and AEAD ciphers
	Integ     transform.INTEG
	IntegKey  []byte
	Comp      transform.COMP
	ESN       bool
	Replay    uint32 // anti-replay window in packets; 0 switches the check off (In only)
	Encap     *Encap // nil: ESP as IP protocol 50
	Fragments bool   // non-first fragments arrive though Selector has ports (RFC 4301 §7.3; In, in tunnels)
	Soft      Lifetime
	Hard      Lifetime
	Binding
}

// SAState is an SA as a kernel reports it; keys are left out.
type SAState struct {
	SA
	Added     time.Time
	LastUsed  time.Time // zero: never
	Bytes     uint64
	Packets   uint64
	ReplayErr uint64 // packets dropped by the anti-replay check
	AuthErr   uint64 // packets dropped by the integrity check
}

// PolicyID is the kernel's number for a policy (spmif's spid).
type PolicyID uint32

// Template is one IPsec transform that a Protect policy asks for. IPComp never
// has a say of its own about what may arrive, since packets that do not get
// smaller are not compressed (RFC 3173 §2.2): its Level counts when packets leave.
type Template struct {
	Src, Dst netip.Addr // tunnel end points; the zero Addr in transport mode
	Proto    Protocol
	Mode     Mode
	Level    Level
	ReqID    uint32
}

// Policy is an SPD entry for one direction.
type Policy struct {
	ID        PolicyID // given by the kernel; 0 in AddPolicy
	Selector  Selector
	Direction Direction
	Action    Action
	Priority  uint32     // lower is stronger
	Templates []Template // the innermost first: IPComp, then ESP, then AH (RFC 4301 §4.5)
	Lifetime  Lifetime
	MSS       uint16 // bounds the maximum segment size of TCP connections that it protects; 0: no bound, MSSFromMTU: the path's
	Binding
}

// MSSFromMTU has Policy.MSS follow the MTU of the path.
const MSSFromMTU uint16 = 65535

// Op is an operation on a kernel. One Result answers each Op.
type Op interface{ op() }

// The operations.
type (
	// GetSPI reserves an SPI for an inbound SA. The Result has it in SPI.
	GetSPI struct {
		Src, Dst netip.Addr // Dst is this host
		Proto    Protocol
		Mode     Mode
		ReqID    uint32
	}
	// AddSA installs an SA; an inbound one replaces the reservation of its SPI.
	AddSA struct{ SA SA }
	// UpdateSA changes addresses, encapsulation and lifetimes of an SA, never its
	// keys, which are left out. Where its destination moves OldDst is the one before:
	// an SA that has the new name already is another one, and makes it ErrExists.
	UpdateSA struct {
		SA     SA
		OldDst netip.Addr // zero: the destination stays
	}
	// DeleteSA removes an SA or a reservation.
	DeleteSA struct{ ID SAID }
	// GetSA asks for the state of one SA.
	GetSA struct{ ID SAID }
	// DumpSA asks for all SAs.
	DumpSA struct{}
	// FlushSA removes all SAs of a protocol, whoever made them; 0 is every protocol.
	FlushSA struct{ Proto Protocol }
	// AddPolicy installs a policy. The Result has its PolicyID in Policy.
	AddPolicy struct{ Policy Policy }
	// UpdatePolicy replaces the policy with the same selector, direction, interface
	// identifier and mark, or adds it.
	UpdatePolicy struct{ Policy Policy }
	// DeletePolicy removes the policy with this selector, direction and binding:
	// its interface identifier and mark tell it from others.
	DeletePolicy struct {
		Selector  Selector
		Direction Direction
		Priority  uint32
		Binding   Binding
	}
	// DumpPolicy asks for all policies.
	DumpPolicy struct{}
	// Migrate moves the templates of the policy with this selector, direction and
	// binding from one pair of end points to another, and with them the SAs that
	// serve them, which keep their keys and go on counting (RFC 4555 §3.5, Linux
	// XFRM_MSG_MIGRATE, PF_KEY's SADB_X_MIGRATE).
	Migrate struct {
		Selector       Selector
		Direction      Direction
		Binding        Binding
		Proto          Protocol
		Mode           Mode
		ReqID          uint32
		OldSrc, OldDst netip.Addr
		NewSrc, NewDst netip.Addr
		Encap          *Encap // of the moved SAs; nil: none
	}
)

// Old names the SA as it is before the update.
func (u UpdateSA) Old() SAID {
	id := u.SA.SAID
	if u.OldDst.IsValid() {
		id.Dst = u.OldDst
	}
	return id
}

func (GetSPI) op()       {}
func (AddSA) op()        {}
func (UpdateSA) op()     {}
func (DeleteSA) op()     {}
func (GetSA) op()        {}
func (DumpSA) op()       {}
func (FlushSA) op()      {}
func (AddPolicy) op()    {}
func (UpdatePolicy) op() {}
func (DeletePolicy) op() {}
func (DumpPolicy) op()   {}
func (Migrate) op()      {}

// Request is an operation with the owner that its Result goes back to.
type Request struct {
	Owner Owner
	Op    Op
}

// Result answers a Request.
type Result struct {
	Request  Request
	Err      error // wraps ErrExists, ErrNotFound or ErrUnsupported where one of them is the cause
	SPI      SPI
	Policy   PolicyID
	SAs      []SAState // GetSA: one; DumpSA: all
	Policies []Policy
}

// Event is something that a kernel noticed by itself.
type Event interface{ event() }

// The events.
type (
	// Acquire says that traffic met a Protect policy without an SA. Repeats while the traffic goes on.
	Acquire struct {
		Policy   PolicyID
		Template Template
		Packet   Selector // the packet that asked: host addresses, its protocol and ports
	}
	// Expire says that a limit was reached; after Hard the SA is gone.
	Expire struct {
		ID    SAID
		ReqID uint32
		Hard  bool
	}
	// Mapping says that a peer's encapsulated packets come from a new address or port (NAT).
	Mapping struct {
		ID       SAID
		Old, New netip.AddrPort
	}
	// Deleted says that somebody else removed an SA.
	Deleted struct{ ID SAID }
	// Flushed says that somebody else removed all SAs of a protocol (0: all).
	Flushed struct{ Proto Protocol }
	// PolicyDeleted says that somebody else removed a policy, or that it expired.
	PolicyDeleted struct {
		ID        PolicyID
		Selector  Selector
		Direction Direction
		Binding   Binding
	}
	// Resync says that events were lost: dump and reconcile.
	Resync struct{}
)

func (Acquire) event()       {}
func (Expire) event()        {}
func (Mapping) event()       {}
func (Deleted) event()       {}
func (Flushed) event()       {}
func (PolicyDeleted) event() {}
func (Resync) event()        {}
