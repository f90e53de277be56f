package ikev2

import (
	"io"
	"net/netip"
	"sync/atomic"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// ---- settings: filled by agent from the configuration, immutable ----

// Settings is everything that an Engine is configured with.
type Settings struct {
	// IKEPort and NATPort are the local ports; NATPort 0 means that this host
	// cannot traverse NATs (RFC 7296 §2.23).
	IKEPort, NATPort uint16
	// Remotes in the configuration's order: the first that matches wins.
	Remotes []*Remote
	// CookieThreshold is the count of half-open IKE SAs (all shards) from which
	// on IKE_SA_INIT requests must bring a cookie (RFC 7296 §2.6); 0 never asks.
	CookieThreshold int
	// MaxHalfOpen bounds half-open IKE SAs as responder; requests above it are
	// dropped. 0 is no bound.
	MaxHalfOpen int
	// MaxHalfOpenAddress and MaxHalfOpenNetwork bound them by address (IPv6: /64)
	// and by network (/24, /48) in each shard; 0 is no bound.
	MaxHalfOpenAddress, MaxHalfOpenNetwork int
}

// Remote is one peer, or the pattern of several.
type Remote struct {
	Name    string // index of the remote in racoon2.conf
	Where   string // file:line of the remote, for explanations
	Passive bool   // never initiate

	Peers   []netip.AddrPort // addresses to initiate to, in turn; port 0 is 500
	AnyPeer bool             // accepts requests from any address (IP_ANY, IP_RW)

	MyID     Identity
	PeerIDs  []Identity // accepted; empty accepts any when VerifyID is off
	VerifyID bool
	SendIDr  bool // send_peers_id

	Check            ProposalCheck
	TunnelInstead    bool // a peer that asks for transport mode where a child has tunnel mode gets that (RFC 7296 §1.3.1)
	ParentStrength   bool // no child has a longer key than its IKE SA (parent_child_strength)
	NoInitialContact bool // INITIAL_CONTACT is not sent (RFC 7296 §2.4)
	Padding          Padding

	SharedKey []byte // pre-shared key; a secret
	PPK       *PPK   // post-quantum pre-shared key; nil: none

	Proposals []IKEProposal // in order of preference

	NATTraversal bool
	// PublicAddresses are those by which a router in front of this host is known,
	// which forwards to it (natd_public_address); port 0 is any.
	PublicAddresses []netip.AddrPort
	MOBIKE          bool // the addresses of an IKE SA may change (RFC 4555)

	ForceNAT       bool // ESP goes in UDP as if this host were behind a NAT
	CookieRequired bool
	Fragmentation  bool // IKE messages may be fragmented (RFC 7383)
	FragmentSize   int  // largest IP packet of a fragment, in octets; 0: 1500 with IPv4, 1280 with IPv6
	NonceSize      int  // octets, 16–256

	// Window is how many requests the peer may have outstanding (RFC 7296 §2.3); 0
	// and 1 are one. How many this host has outstanding is the peer's word.
	Window int

	Childless bool // accept IKE_AUTH without a child SA (RFC 6023)

	Retry        Retransmission
	Lifetime     time.Duration // of the IKE SA; 0 is unlimited
	AuthLifetime time.Duration // after which the authentication is repeated (RFC 4478); 0 is unlimited
	SetupTimeout time.Duration // kmp_sa_nego_time_limit
	ChildTimeout time.Duration // ipsec_sa_nego_time_limit: how long a child may take to come up; 0: as long as its exchange
	Grace        time.Duration // kmp_sa_grace_period: delete an IKE SA without child after it; 0 never
	DPDDelay     time.Duration // liveness check after this silence; 0 never

	Children []*Child
}

// Padding is what the SK payloads of whole messages are filled up with beyond what
// their cipher asks for (RFC 7296 §3.14: any value, up to 255 octets).
type Padding struct {
	Random bool // random octets instead of zeros
	Most   int  // a random number of octets up to this, at most 255; 0: none
}

// PPK is a post-quantum pre-shared key (RFC 8784).
type PPK struct {
	ID        []byte // PPK_ID: its type and then its octets (RFC 8784 §5.1)
	Secret    []byte
	Mandatory bool // fail rather than go on without
}

// Identity is an IKE identity (RFC 7296 §3.5).
type Identity struct {
	Type message.IDType
	Data []byte
}

// IKEProposal is what one IKE proposal offers or accepts: any combination of its members.
type IKEProposal struct {
	Encr  []Encryption
	PRF   []transform.PRF
	Integ []transform.INTEG // empty for AEADs
	KE    []transform.KE
}

// Encryption is an encryption transform with its key length in bits (0: fixed by the algorithm).
type Encryption struct {
	ID      transform.ENCR
	KeyBits uint16
}

// ChildProposal is the same for a child SA.
type ChildProposal struct {
	Protocol kernel.Protocol // ESP or AH, the same in all proposals of a child
	Encr     []Encryption    // empty with AH
	Integ    []transform.INTEG
	KE       []transform.KE // with need_pfs, in CREATE_CHILD_SA; empty: none
	SN       []transform.SN
}

// Retransmission is the schedule of RFC 7296 §2.1.
type Retransmission struct {
	First  time.Duration // interval_to_send; doubles up to 8 times itself
	Tries  int           // max_retry_to_send, retransmissions after the first sending
	Copies int           // times_per_send
}

// Child is one pair of selectors that may become child SAs.
type Child struct {
	Name    string // index of the outbound selector
	Inbound string // index of the inbound selector
	Where   string

	// Outbound is the traffic from this host's side (Src) to the peer's (Dst).
	Outbound []kernel.Selector
	// Dynamic says that every Dst of Outbound stands for the IKE peer's own address.
	Dynamic bool
	Mode    kernel.Mode
	Level   kernel.Level
	ReqID   uint32

	// PerPair gives each pair of addresses SAs of its own.
	PerPair bool

	// Childless makes even the first child in CREATE_CHILD_SA, with a key exchange
	// of its own, where the peer takes IKE_AUTH without one (RFC 6023).
	Childless bool

	MyEnd, PeerEnd netip.Addr // tunnel end points; zero: the IKE SA's addresses

	Proposals []ChildProposal
	Comp      []transform.COMP // IPComp, which both ends must then use (RFC 7296 §2.22); empty: not used
	Lifetime  kernel.Lifetime  // hard; the soft limit is jittered below it

	// CountBytes says that the kernel does not keep Lifetime.Bytes itself: it is asked
	// now and then what has passed.
	CountBytes bool

	Replay  uint32
	Binding kernel.Binding // of its policies, and through it of its SAs
}

// ---- making an engine ----

// Config is what an Engine is made of.
type Config struct {
	Shard    uint8     // first octet of every IKE SPI that this shard allocates
	Rand     io.Reader // nonces, SPIs, cookies, jitter
	Shared   *Shared   // the same for all shards
	Settings *Settings
	KeyLog   bool // KeyLog effects carry every key, for somebody who debugs
}

// Shared is the little that all shards have in common.
type Shared struct {
	HalfOpen atomic.Int64 // IKE SAs as responder that are not yet authenticated
}

// The functions of the engine:
//
//	New(Config) *Engine
//	(*Engine) Handle(now time.Time, in Input, out *Outbox)
//	(*Engine) Deadline() (time.Time, bool)
//	(*Engine) Idle() bool                // after Shutdown: no SA is left
//	(*Engine) Status() []IKEInfo
//	(*Engine) Counters() map[string]uint64  // by trace reason, and "half_open", "ike_sas", "child_sas"
//	ShardOf(datagram []byte, remote netip.AddrPort, shards int) int
//	ShardOfAddress(remote netip.Addr, shards int) int

// ---- inputs ----

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

// ---- effects ----

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
		Peer, Child         string // the remote's and the outbound selector's names
		OldLocal, OldRemote netip.Addr
		Local, Remote       netip.Addr
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

// ---- status ----

// IKEInfo describes one IKE SA.
type IKEInfo struct {
	Serial      uint64
	Remote      string // index of the remote; "" while not known
	State       string
	Initiator   bool // original initiator
	SPIi, SPIr  uint64
	LocalAddr   netip.AddrPort
	RemoteAddr  netip.AddrPort
	LocalID     string
	RemoteID    string
	Encr        string // "ENCR_AES_GCM_16-128"
	PRF         string
	Integ       string
	KE          string
	NATLocal    bool     // this host is behind a NAT
	NATRemote   bool     // the peer is
	Extensions  []string // what both ends agreed on beyond RFC 7296, in words
	Established time.Time
	Expires     time.Time
	Children    []ChildInfo
	LastHeard   time.Time
	Reauth      time.Time // when this host repeats the authentication; zero: it does not
}

// ChildInfo describes one child SA pair.
type ChildInfo struct {
	Name        string // outbound selector
	Protocol    kernel.Protocol
	Mode        kernel.Mode
	SPIIn       kernel.SPI
	SPIOut      kernel.SPI
	Local       netip.Addr // outer addresses
	Remote      netip.Addr
	ReqID       uint32
	TSLocal     []message.TrafficSelector
	TSRemote    []message.TrafficSelector
	Encr        string // "" with AH
	Integ       string
	KE          string
	ESN         bool
	Comp        string // of IPComp, "IPCOMP_DEFLATE"; "": nothing is compressed
	CPIIn       kernel.SPI
	CPIOut      kernel.SPI
	Encap       bool
	Established time.Time
	Expires     time.Time
}
