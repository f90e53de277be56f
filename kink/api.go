package kink

import (
	"io"
	"net/netip"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// ---- settings: filled by agent from the configuration, immutable ----

// Settings is everything that an Engine is configured with.
type Settings struct {
	// Port is the local port, 910 (RFC 4430 §9).
	Port uint16
	// Remotes in the configuration's order: the first that fits wins.
	Remotes []*Remote
}

// Remote is one peer, or the pattern of several.
type Remote struct {
	Name    string // index of the remote in racoon2.conf
	Where   string // file:line of the remote, for explanations
	Passive bool   // never initiate

	Peers   []netip.AddrPort // addresses to initiate to, the first is used; port 0 is 910
	AnyPeer bool             // accepts requests from any address

	MyPrincipal string // this host's
	// PeerPrincipals are accepted; the first is asked for. Nobody else gets SAs of
	// this remote (RFC 4430 §10). "kink/*.example.com@REALM" stands for the hosts
	// below a domain, and is never asked for.
	PeerPrincipals []string

	UserToUser        bool // begin with GETTGT (RFC 4430 §3.1: the policy says so)
	RequireUserToUser bool // refuse tickets under the service key
	DenyTGT           bool // answer GETTGT with KINK_U2UDENIED

	ThreeWay  bool // add Nr to every REPLY, and so ask for an ACK
	NonceSize int  // octets, 8–256 (RFC 2409 §5)

	Retry    Retransmission
	Grace    time.Duration // an inbound SA outlives its deletion by this (RFC 4430 §3.3)
	DPDDelay time.Duration // STATUS after this silence; 0 never

	Children []*Child
}

// Retransmission is the truncated exponential back-off of RFC 4430 §9.
type Retransmission struct {
	First time.Duration // doubles with every sending
	Max   time.Duration // bound of one interval; 0 is 60 s
	Tries int           // retransmissions after the first sending
}

// Encryption is an encryption transform with its key length in bits (0: fixed by the algorithm).
type Encryption struct {
	ID      transform.ENCR
	KeyBits uint16
}

// Proposal is what a child offers or accepts: any combination of its members,
// in order of preference.
type Proposal struct {
	Protocol kernel.Protocol   // ESP, AH or IPComp
	Encr     []Encryption      // of ESP
	Integ    []transform.INTEG // left out with AEADs
	Comp     []transform.COMP  // of IPComp
	// Outer are the further transforms of a bundle, each of another protocol, in any
	// order: a packet goes through IPComp, then ESP, then AH (RFC 4301 §4.5). In tunnel
	// mode the first of them makes the tunnel, and the others are in transport mode. All
	// proposals of a child have the same protocols, as its SPD entries have.
	Outer []Proposal
}

// Child is one pair of selectors that may become SAs.
type Child struct {
	Name    string // index of the outbound selector
	Inbound string // index of the inbound selector
	Where   string

	// Outbound is the traffic from this host's side (Src) to the peer's (Dst).
	Outbound []kernel.Selector
	// Dynamic says that every Dst of Outbound stands for the peer's own address.
	Dynamic bool
	Mode    kernel.Mode
	Level   kernel.Level
	ReqID   uint32

	MyEnd, PeerEnd netip.Addr // tunnel end points; zero: the addresses that KINK messages go between

	Proposals []Proposal
	// KE are the groups for PFS, the first is offered; empty: none.
	KE []transform.KE
	// KEOptional lets a peer without KE support have SAs without PFS.
	KEOptional bool
	Lifetime   kernel.Lifetime // hard; the soft limit is a random time below it
	Replay     uint32
	Binding    kernel.Binding // of its policies, and through it of its SAs
}

// ---- making an engine ----

// Config is what an Engine is made of.
type Config struct {
	Rand     io.Reader // nonces, XIDs, jitter, confounders of AP messages
	Kerberos Kerberos
	Settings *Settings
	// Start is when this process began to have SAs: the epoch (RFC 4430 §4.2.1).
	Start time.Time
}

// The functions of the engine:
//
//	New(Config) *Engine
//	(*Engine) Handle(now time.Time, in Input, out *Outbox)
//	(*Engine) Deadline() (time.Time, bool)
//	(*Engine) Idle() bool                // after Shutdown: no SA is left
//	(*Engine) Status() []PeerInfo
//	(*Engine) Counters() map[string]uint64  // by trace reason, and "peers", "transactions", "child_sas"

// ---- inputs ----

// Input is one thing that happened.
type Input interface{ input() }

// The inputs.
type (
	// Datagram is a KINK message that arrived.
	Datagram struct {
		Local, Remote netip.AddrPort
		Data          []byte // the engine's from now on
	}
	// Timeout says that Deadline has passed.
	Timeout struct{}
	// KernelResult answers a kernel request of this engine.
	KernelResult struct{ Result kernel.Result }
	// KernelEvent is an event that concerns SAs of this engine (Expire, Deleted, Flushed).
	KernelEvent struct{ Event kernel.Event }
	// JobDone brings the result of a Job.
	JobDone struct {
		Serial uint64
		Value  any
		Err    error
	}
	// TicketReady answers FetchTicket. An error of the KDC is a *KRBError.
	TicketReady struct {
		Serial uint64
		Ticket Ticket
		Err    error
	}
	// Initiate asks for an SA pair.
	Initiate struct {
		Remote string
		Child  string           // name of the outbound selector
		Packet *kernel.Selector // the packet that asked; nil without one
		// Peer and Principal, where set, take the place of the remote's own: the
		// address and the name that an application used, from the resolver. A
		// principal that the remote does not list is refused.
		Peer      netip.AddrPort
		Principal string
	}
	// Terminate deletes SA pairs, telling the peer.
	Terminate struct {
		Remote string     // "" is all
		Child  kernel.SPI // inbound SPI of one pair; 0 is all of Remote's
		Reason string     // for the log
	}
	// Routed answers Route.
	Routed struct {
		Serial uint64
		Local  netip.Addr
		Err    error
	}
	// Reconfigure replaces the settings. SAs whose remote is unchanged stay
	// untouched; those of removed or changed remotes are deleted.
	Reconfigure struct{ Settings *Settings }
	// PeerAddresses replaces the addresses of a remote, as when its name has others
	// now. Its SAs stay; tunnels that went to an address which is gone are followed
	// by others.
	PeerAddresses struct {
		Remote string
		Peers  []netip.AddrPort
	}
	// Shutdown deletes all SAs, telling the peers; the engine is done when Idle.
	Shutdown struct{}
)

func (Datagram) input()      {}
func (Timeout) input()       {}
func (KernelResult) input()  {}
func (KernelEvent) input()   {}
func (JobDone) input()       {}
func (TicketReady) input()   {}
func (Initiate) input()      {}
func (Terminate) input()     {}
func (Routed) input()        {}
func (Reconfigure) input()   {}
func (PeerAddresses) input() {}
func (Shutdown) input()      {}

// ---- effects ----

// Outbox takes the effects of one input, in order. The driver empties it.
type Outbox struct {
	Effects []Effect
}

// Effect is one thing to be done.
type Effect interface{ effect() }

// The effects.
type (
	// Send is a datagram to send from Local.
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
	// FetchTicket asks for a service ticket, from the cache or from a KDC;
	// TicketReady answers.
	FetchTicket struct {
		Serial uint64
		Local  string // this host's principal
		Peer   string // the principal that the ticket is for
		// Until: the ticket must not end before this time (RFC 4430 §9).
		Until time.Time
		// Evict: a cached ticket was refused by the peer, do not use it again. It is
		// replaced only when the new one is in hand (RFC 4430 §3.7.1).
		Evict bool
		// UserToUser: only a user-to-user ticket will do. Where none is cached and TGT
		// is nil, the answer is a *KRBError with KDC_ERR_MUST_USE_USER2USER.
		UserToUser bool
		// TGT, when not nil, is the peer's TGT, not authenticated: ask for a
		// user-to-user ticket. It must be of Peer and not an inter-realm TGT.
		TGT []byte
	}
	// Route asks which address of this host reaches Remote; Routed answers.
	Route struct {
		Serial uint64
		Remote netip.Addr
	}
	// ChildUp tells the policy manager that an SA pair stands. Again says that it takes
	// the place of another one of the child with this peer, Told that it was
	// announced before.
	ChildUp struct {
		Remote, Child string
		Peer          string // the peer's principal
		Info          ChildInfo
		Again, Told   bool
	}
	// ChildDown tells the policy manager that the last SA pair of a child with a peer
	// has gone.
	ChildDown struct {
		Remote, Child string
		Peer          string // the peer's principal
		Info          ChildInfo
		Reason        string
	}
	// InitiateFailed tells the policy manager that an Initiate came to nothing.
	InitiateFailed struct {
		Remote, Child string
		Reason        string
	}
	// Trace is for the log and the counters.
	Trace struct{ Event trace.Event }
)

func (Send) effect()           {}
func (KernelRequest) effect()  {}
func (Job) effect()            {}
func (FetchTicket) effect()    {}
func (Route) effect()          {}
func (ChildUp) effect()        {}
func (ChildDown) effect()      {}
func (InitiateFailed) effect() {}
func (Trace) effect()          {}

// ---- status ----

// PeerInfo describes one principal with which this host has or had SAs.
type PeerInfo struct {
	Principal string
	Local     string // this host's principal
	Remote    string // index of the remote
	Address   netip.AddrPort
	Epoch     uint32        // 0 while not known
	Offset    time.Duration // the peer's clock less this host's, as far as known
	EType     int32         // of the session key last used
	Ticket    time.Time     // end of the ticket last used
	LastHeard time.Time     // last authenticated message
	Children  []ChildInfo
	// Transactions counts those under way with the peer, by either end.
	Transactions int
}

// TransformInfo describes one transform of a pair.
type TransformInfo struct {
	Protocol kernel.Protocol
	Mode     kernel.Mode
	SPIIn    kernel.SPI // a CPI with IPComp
	SPIOut   kernel.SPI
	Encr     string // "" for none
	Integ    string
	Comp     string
}

// ChildInfo describes one SA pair. Protocol, SPIs and algorithms are those of ESP, without it of AH.
type ChildInfo struct {
	Name        string // outbound selector
	State       string
	Initiator   bool // this host made the pair, and rekeys it
	Protocol    kernel.Protocol
	Mode        kernel.Mode
	SPIIn       kernel.SPI
	SPIOut      kernel.SPI
	Local       netip.Addr // outer addresses
	Remote      netip.Addr
	ReqID       uint32
	Selector    kernel.Selector // outbound
	Encr        string          // "ENCR_AES_GCM_16-128"
	Integ       string
	KE          string
	Transforms  []TransformInfo // all of them, the innermost first
	Established time.Time
	Expires     time.Time // zero: never
}
