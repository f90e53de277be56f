package policy

import (
	"io"
	"net/netip"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// ---- making a manager ----

// Config is what a Manager is made of.
type Config struct {
	Rand         io.Reader           // jitter
	Capabilities kernel.Capabilities // of the backend that its requests go to
	Engines      []kernel.EngineID   // that run in this process; nil: IKEv2 alone

	// NeighborDiscovery lets IPv6 neighbour discovery pass all policies. It is
	// for backends where the kernel's own packets meet them (xfrm, PF_KEY), and
	// not for one that sees to this itself.
	NeighborDiscovery bool
}

// ---- settings: filled by agent from the configuration, immutable ----

// Settings are the selectors with their policies, in the configuration's order.
type Settings struct {
	Selectors []*Selector
	// LeftInClear lets traffic to addresses that names have left pass in clear
	// where no other policy meets it; otherwise it is discarded until they are gone.
	LeftInClear bool
}

// Selector is one selector section with the policy that it names.
type Selector struct {
	Name      string // index; spmif's slid
	Where     string // file:line, for explanations
	Direction kernel.Direction
	Install   bool // off: declared only

	// Src and Dst may hold several addresses; families that do not fit each
	// other make no pair. Each pair becomes one SPD entry.
	Src, Dst []Address
	Proto    uint8 // 0 is any
	// SrcPort and DstPort hold ICMP type and code where Proto is ICMP.
	SrcPort, DstPort kernel.PortRange

	Order   uint32 // lower is stronger; 0: none, the configuration's order decides
	Action  kernel.Action
	Remote  string            // index of the remote; "" for Discard and Bypass
	Engines []kernel.EngineID // acceptable_kmp; the first is the one to initiate with
	Child   string            // name of the outbound selector of this pair, what Initiate carries
	Bundle  []kernel.Protocol // transforms of a bundle, innermost first: ESP, IPComp, AH
	Mode    kernel.Mode
	Level   kernel.Level
	ReqID   uint32
	Start   bool // an outbound selector's child is asked for without traffic, and again when it is lost

	// MyEnd is this host's end of a tunnel; zero: its address towards the peer.
	// PeerEnd is the peer's: the first one that has an address, until a child
	// stands with another; none: it is not known before the peer comes.
	MyEnd   End
	PeerEnd []End
	Binding kernel.Binding // of its policies

	// Manual are the SAs of static_ipsec for the selector's direction, innermost
	// first: protocol, SPI, algorithms, keys and binding, the rest follows from the
	// selector. The keys are secrets. Nobody negotiates others.
	Manual []kernel.SA
	MSS    uint16 // of its policies, as kernel.Policy has it

	builtIn bool // not from the configuration
	dynamic bool // with the addresses of a dynamic policy
}

// Address is one side of a selector: a prefix, a macro that is expanded with
// this host's addresses, or a host name that the resolver finds addresses for.
type Address struct {
	Prefix netip.Prefix
	Macro  string // as Expand takes it: "MY_IP", "MY_IPV6%eth0", "MY_IPV4/24", …; "" for a prefix
	Name   string // as the resolver spells it: "www.example.com.", "*.example.com."; "" otherwise
}

// ---- inputs ----

// Input is one thing that happened.
type Input interface{ input() }

// The inputs.
type (
	// Start gives the first settings and installs them.
	Start struct{ Settings *Settings }
	// Reconfigure replaces the settings; entries that did not change are not touched.
	Reconfigure struct{ Settings *Settings }
	// Addresses says which addresses this host has now. The first comes before
	// Start, so that macros stand for something.
	Addresses struct{ Interfaces []Interface }
	// KernelResult answers a kernel request of the policy manager.
	KernelResult struct{ Result kernel.Result }
	// KernelEvent is an Acquire, PolicyDeleted or Resync, or is about a static SA:
	// Deleted, Flushed.
	KernelEvent struct{ Event kernel.Event }
	// InitiateFailed says that an engine gave up on a child.
	InitiateFailed struct {
		Engine kernel.EngineID
		Child  string
		Reason string
	}
	// ChildUp says that an engine has set up a child: its acquires are new ones
	// from now on, and past failures are forgotten. What was negotiated makes the
	// policies of a tunnel whose far end was not known before.
	ChildUp struct {
		Engine            kernel.EngineID
		Child             string
		Local, Remote     netip.Addr     // outer addresses
		TSLocal, TSRemote []netip.Prefix // what the child carries
		Lifetime          time.Duration  // until its SAs end; 0: not known
		Again             bool           // it takes the place of another one
	}
	// ChildDown says that a child has gone, and none has taken its place. Each
	// ChildUp without Again has one.
	ChildDown struct {
		Engine kernel.EngineID
		Child  string
		Reason string
	}
	// Routed answers Route.
	Routed struct {
		Remote netip.Addr
		Local  netip.Addr
		Err    error
	}
	// AddPolicy adds policies beside those of the configuration; CheckDynamic says
	// beforehand what is wrong with it. The same once more begins a new lifetime.
	AddPolicy struct{ Dynamic Dynamic }
	// DeletePolicy removes such policies: those of the selector with these
	// addresses, and their reverses. A zero prefix is any.
	DeletePolicy struct {
		Selector string
		Src, Dst netip.Prefix
	}
	// Migrate moves the tunnel of a selector, and of its reverse, from one pair of
	// end points to another, both in the selector's direction; MoveSAs follows.
	Migrate struct {
		Selector       string
		OldSrc, OldDst netip.Addr
		Src, Dst       netip.Addr
	}
	// Moved says that an engine has moved the SAs of a child to other outer
	// addresses (RFC 4555 §3.5): the tunnel's policies follow.
	Moved struct {
		Child               string
		OldLocal, OldRemote netip.Addr
		Local, Remote       netip.Addr
	}
	// Names says which addresses a host name has now; PolicyStands answers it.
	// Traffic to the addresses that left is discarded until they are gone.
	Names struct {
		Name       string
		Watches    []string // what selectors call it: itself, or wildcards
		Addresses  []netip.Addr
		Left       []netip.Addr
		Gone       []netip.Addr
		Generation uint64
	}
	// Up asks for the child of a selector as if traffic had met it, without
	// waiting for a back-off to end.
	Up struct{ Selector string }
	// Timeout says that Deadline has passed.
	Timeout struct{}
	// Down has the child of a selector stay down, though Start would have it up
	// again, until Up or traffic asks for it. The engine is another's to tell.
	Down struct{ Selector string }
	// Retry says that a remote may be reached where it was not before: pauses after
	// failures end.
	Retry struct{ Remote string }
	// Shutdown removes every policy that this manager installed.
	Shutdown struct{}
)

func (Start) input()          {}
func (Reconfigure) input()    {}
func (Addresses) input()      {}
func (KernelResult) input()   {}
func (KernelEvent) input()    {}
func (InitiateFailed) input() {}
func (ChildUp) input()        {}
func (ChildDown) input()      {}
func (Routed) input()         {}
func (AddPolicy) input()      {}
func (DeletePolicy) input()   {}
func (Migrate) input()        {}
func (Moved) input()          {}
func (Names) input()          {}
func (Up) input()             {}
func (Down) input()           {}
func (Retry) input()          {}
func (Timeout) input()        {}
func (Shutdown) input()       {}

// Interface is one network interface with its addresses.
type Interface struct {
	Name  string
	Addrs []netip.Prefix
}

// ---- effects ----

// Outbox takes the effects of one input, in order. The driver empties it.
type Outbox struct {
	Effects []Effect
}

// Effect is one thing to be done.
type Effect interface{ effect() }

// The effects.
type (
	// KernelRequest is an operation for the kernel.
	KernelRequest struct{ Request kernel.Request }
	// Initiate asks an engine for a child SA.
	Initiate struct {
		Engine kernel.EngineID
		Remote string
		Child  string
		Packet *kernel.Selector
	}
	// Route asks which address of this host leads to Remote; Routed answers.
	Route struct{ Remote netip.Addr }
	// MoveSAs has the engine move the SAs of a child, whose policies have moved.
	MoveSAs struct {
		Child               string
		OldLocal, OldRemote netip.Addr
		Local, Remote       netip.Addr
	}
	// InUse says that children stand, or no longer stand, whose SAs are for an
	// address of a host name or go to it.
	InUse struct {
		Addr  netip.Addr
		Using bool
	}
	// PolicyStands says that the SPD stands for a Names.
	PolicyStands struct {
		Name       string
		Generation uint64
	}
	// Trace is for the log and the counters.
	Trace struct{ Event trace.Event }
)

func (KernelRequest) effect() {}
func (Initiate) effect()      {}
func (Route) effect()         {}
func (MoveSAs) effect()       {}
func (InUse) effect()         {}
func (PolicyStands) effect()  {}
func (Trace) effect()         {}

// ---- status ----

// Entry is one SPD entry of ours, or a selector that has none.
//
// Its state is "installed"; "pending", the kernel has not answered; "leaving",
// not wanted any more; "failed: …", the kernel refuses it, with its words; or
// "unused: …", the selector makes no policy, with the reason: perhaps this host
// has no address that its macro stands for.
type Entry struct {
	Selector string // name
	ID       kernel.PolicyID
	Policy   kernel.Policy // zero for a selector that has none
	State    string
}
