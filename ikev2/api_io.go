package ikev2

import (
	"net/netip"

	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// Input is one thing that happened.
type Input interface{ input() }

// The inputs.
type (
	// Datagram is an IKE message that arrived; the non-ESP marker is already removed.
	Datagram struct {
		Local, Remote netip.AddrPort
		Data          []byte // the engine's from now on
	}
	// Timeout says that Deadline has passed.
	Timeout struct{}
	// KernelResult answers a kernel request of this engine.
	KernelResult struct{ Result kernel.Result }
	// KernelEvent is an event that concerns SAs of this engine (Expire, Mapping, Deleted, Flushed).
	KernelEvent struct{ Event kernel.Event }
	// JobDone brings the result of a Job.
	JobDone struct {
		Serial uint64
		Value  any
		Err    error
	}
	// Initiate asks for a child SA; the IKE SA is made when there is none.
	Initiate struct {
		Remote string
		Child  string           // name of the outbound selector
		Packet *kernel.Selector // the packet that asked (RFC 7296 §2.9); nil without one
	}
	// Terminate deletes SAs, telling the peer.
	Terminate struct {
		IKE    uint64     // serial of an IKE SA; 0 is all of Remote's
		Remote string     // "" is all
		Child  kernel.SPI // inbound SPI of one child; 0 is the IKE SA itself
		Reason string     // for the log
	}
	// Rekey has an established IKE SA take new keys, as the end of its soft
	// lifetime does (RFC 7296 §1.3.2).
	Rekey struct {
		IKE uint64 // serial
	}
	// Routed answers Route.
	Routed struct {
		Serial uint64
		Local  netip.Addr
		Err    error
	}
	// Reconfigure replaces the settings. IKE SAs whose remote is unchanged stay untouched;
	// those of removed or changed remotes are deleted. Where only the addresses of
	// a remote have changed, it is as PeerAddresses.
	Reconfigure struct{ Settings *Settings }
	// PeerAddresses replaces the addresses of a remote, as when its name has others
	// now. New IKE SAs begin with them, in turn. IKE SAs at an address that left the
	// list are moved: by MOBIKE where it is agreed and this host began
	// (RFC 4555 §3.5), otherwise another IKE SA is made before the old one goes. An
	// empty list moves nothing.
	PeerAddresses struct {
		Remote string
		Peers  []netip.AddrPort
	}
	// MoveChild gives the SAs of a child between two outer addresses others, and
	// takes them off those of its IKE SA: somebody has moved its policies (MIGRATE).
	MoveChild struct {
		Child               string
		OldLocal, OldRemote netip.Addr
		Local, Remote       netip.Addr
	}
	// LocalAddresses says which addresses this host can speak IKE from now: all of
	// them. IKE SAs at an address that is gone are moved likewise.
	LocalAddresses struct{ Addrs []netip.Addr }
	// Shutdown deletes all SAs, telling the peers; the engine is done when Idle.
	Shutdown struct{}
)

func (Datagram) input()       {}
func (Timeout) input()        {}
func (KernelResult) input()   {}
func (KernelEvent) input()    {}
func (JobDone) input()        {}
func (Initiate) input()       {}
func (Terminate) input()      {}
func (Rekey) input()          {}
func (Routed) input()         {}
func (Reconfigure) input()    {}
func (PeerAddresses) input()  {}
func (MoveChild) input()      {}
func (LocalAddresses) input() {}
func (Shutdown) input()       {}

// Outbox takes the effects of one input, in order. The driver empties it.
type Outbox struct {
	Effects []Effect
}

// Effect is one thing to be done.
type Effect interface{ effect() }

// The effects.
type (
	// Send is a datagram to send from Local; the driver adds the non-ESP marker
	// where the local port is the NAT traversal port.
	Send struct {
		Local, Remote netip.AddrPort
		Data          []byte
	}
	// KernelRequest is an operation for the kernel.
	KernelRequest struct{ Request kernel.Request }
	// Job is work for the pool; its result comes back as JobDone with the same Serial.
	// Run touches nothing of the engine's.
	Job struct {
		Serial uint64
		Name   string
		Run    func() (any, error)
	}
	// Route asks which address of this host reaches Remote; Routed answers.
	Route struct {
		Serial uint64
		Remote netip.Addr
	}
	// IKEUp says that an IKE SA is established. Again says that it takes the place of
	// another one with the same peer, rekeyed or with the authentication repeated.
	IKEUp struct {
		Remote        string
		Peer          string // the peer's identity
		Local, PeerAt netip.AddrPort
		Again         bool
	}
	// IKEDown says that the last IKE SA with a peer has gone.
	IKEDown struct {
		Remote        string
		Peer          string // the peer's identity
		Local, PeerAt netip.AddrPort
		Reason        string
	}
	// IKEMoved says that an IKE SA and its children have other addresses now.
	IKEMoved struct {
		Remote             string
		Peer               string // the peer's identity
		OldLocal, OldPeer  netip.Addr
		Local, PeerAddress netip.Addr
	}
	// ChildUp tells the policy manager that a child stands. Again says that it takes
	// the place of another one for the same traffic of the same peer.
	ChildUp struct {
		Remote, Child string
		Peer          string // the peer's identity
		Info          ChildInfo
		Again         bool
	}
	// ChildDown tells the policy manager that a child has gone, and no other one
	// has its traffic.
	ChildDown struct {
		Remote, Child string
		Peer          string // the peer's identity
		Info          ChildInfo
		Reason        string
	}
	// ChildMoved tells the policy manager that a child's tunnel has other end points
	// now. Its SAs are moved already.
	ChildMoved struct {
		Remote, Child      string
		OldLocal, OldPeer  netip.Addr
		Local, PeerAddress netip.Addr
	}
	// InitiateFailed tells the policy manager that an Initiate came to nothing.
	InitiateFailed struct {
		Remote, Child string
		Reason        string
	}
	// KeyLog carries the keys of an IKE SA, or of one SA that the kernel is asked
	// for. There are such effects only where Config.KeyLog asks for them.
	KeyLog struct {
		IKE *IKEKeys
		SA  *kernel.SA // nil: IKE has them
	}
	// Trace is for the log and the counters.
	Trace struct{ Event trace.Event }
)

func (KeyLog) effect()         {}
func (Send) effect()           {}
func (KernelRequest) effect()  {}
func (Job) effect()            {}
func (Route) effect()          {}
func (IKEUp) effect()          {}
func (IKEDown) effect()        {}
func (IKEMoved) effect()       {}
func (ChildUp) effect()        {}
func (ChildDown) effect()      {}
func (ChildMoved) effect()     {}
func (InitiateFailed) effect() {}
func (Trace) effect()          {}
