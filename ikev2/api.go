package ikev2

import (
	"io"
	"net/netip"
	"sync/atomic"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// Settings is everything that an Engine is configured with: agent fills it from the
// configuration, and nobody changes it.
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

	// Fragments says that the kernel takes non-first fragments on SAs for some ports
	// (RFC 4301 §7.3).
	Fragments bool

	// PerPair gives each pair of addresses SAs of its own.
	PerPair bool

	// Childless makes even the first child in CREATE_CHILD_SA, with a key exchange
	// of its own, where the peer takes IKE_AUTH without one (RFC 6023).
	Childless bool

	// RekeyAtOnce replaces the child that this host asks for in IKE_AUTH, which shares
	// the key exchange of its IKE SA, as soon as it stands.
	RekeyAtOnce bool

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
