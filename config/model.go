package config

import (
	"time"
)

// Config is a configuration after includes, substitution and inheritance. It is
// never changed after Load: everything that reads it may share it. A Config
// that came with errors among its findings is incomplete and not to be run.
type Config struct {
	Path  string   // the file given to Load
	Files []string // every file read, in the order in which reading began

	Interface    Interface
	Resolver     Resolver
	Remotes      []*Remote // in file order: the first that matches wins
	Default      *Remote   // `default { remote }` as the remote of last resort; nil when there is none
	Selectors    []*Selector
	Policies     []*Policy
	IPsecs       []*IPsec
	SAs          []*SA
	AddressPools []*AddressPool

	index index
}

// index finds sections by name.
type index struct {
	remotes   map[string]*Remote
	selectors map[string]*Selector
	policies  map[string]*Policy
	ipsecs    map[string]*IPsec
	sas       map[string]*SA
	pools     map[string]*AddressPool
}

// Remote returns the remote section of that name, or nil.
func (c *Config) Remote(name string) *Remote { return c.index.remotes[name] }

// Selector returns the selector section of that name, or nil.
func (c *Config) Selector(name string) *Selector { return c.index.selectors[name] }

// Policy returns the policy section of that name, or nil.
func (c *Config) Policy(name string) *Policy { return c.index.policies[name] }

// Interface is the interface section: where the agent listens.
type Interface struct {
	Pos     Pos
	Default bool // no such section: 500 and 4500 of all addresses, spmif in the run directory

	IKE               []Address // Port 500 where none is written
	KINK              []Address // Port 910 where none is written
	SPMD              []Address // unix paths, or addresses with Port 9555 where none is written
	SPMDPassword      string    // path; "" when not given
	SPMDPasswordPos   Pos       // not valid when not given
	ApplicationBypass bool      // IKE sockets bypass IPsec by themselves

	Kernel    Kernel    // what carries IPsec
	Metrics   *Address  // where metrics are served; nil: nowhere
	LogFormat LogFormat // of the agent's log
}

// Resolver is the resolver section: the DNS proxy.
type Resolver struct {
	Pos         Pos
	On          bool
	NameServers []NameServer // upstream servers
	DNSQuery    []Address    // listen addresses, Port 53 where none is written
	ResolverOptions
}

// KMP is a key management protocol.
type KMP uint8

// The key management protocols of acceptable_kmp.
const (
	KMPIKEv1 KMP = iota + 1
	KMPIKEv2
	KMPKINK
)

func (k KMP) String() string { return wordOf(kmpWords, k) }

// Remote is a remote section: one peer, or a pattern of several.
type Remote struct {
	Pos  Pos
	Name string

	// AcceptableKMP are the protocols of the remote that this build can speak;
	// the first is the one to initiate with. Each has its block below.
	AcceptableKMP []KMP
	SelectorIndex string    // the inbound selector, by convention
	Selector      *Selector // nil when SelectorIndex is ""

	IKEv2 *IKEv2 // effective settings; nil when the remote does not use it or cannot
	IKEv1 *IKEv1 // parsed, never used
	KINK  *KINK  // effective settings; nil when the remote does not use it

	// Certificates are the keys that the ikev2 block names; nil when it names none.
	Certificates *Certificates

	// Disabled remotes are read and left alone: nothing that the remote accepts
	// is built or usable. Reason says what, in words for a log.
	Disabled bool
	Reason   string
}

// Common are the settings that every key management protocol has. Durations
// and counts of octets of 0 mean "no limit", or "never", as the directive has it.
type Common struct {
	Pos     Pos
	LogMode LogMode
	LogFile string // path; "" when not given
	LogPos  Pos    // of logfile; not valid when not given

	Passive           bool
	UseCoA            bool
	PeersIPAddr       []Address // Port 0: the protocol's own
	NATDPublicAddress []Address
	MyID              []ID // only the first is sent
	PeersID           []ID
	VerifyID          bool
	InitialContact    bool
	NonceSize         int // octets
	NATTraversal      NATTraversal
	NeedPFS           bool
	ParentStrength    bool // parent_child_strength: no child stronger than its IKE SA

	SelectorCheck Check
	ProposalCheck Check

	RandomPadContent bool
	RandomPadLen     bool
	MaxPadLen        int // octets, at most 255

	MaxRetryToSend int           // retransmissions after the first sending
	IntervalToSend time.Duration // before the first retransmission; doubles
	TimesPerSend   int           // copies of each datagram

	Lifetime         time.Duration // of the IKE SA (kmp_sa_lifetime_time); 0: unlimited
	LifetimeBytes    uint64        // kmp_sa_lifetime_byte; 0: unlimited
	NegotiationLimit time.Duration // kmp_sa_nego_time_limit; 0: unlimited
	GracePeriod      time.Duration // kmp_sa_grace_period; 0: never
	ChildNegoLimit   time.Duration // ipsec_sa_nego_time_limit; 0: unlimited

	AuthMethods     []AuthMethod
	PreSharedKey    string // path; "" when not given
	PreSharedKeyHex bool   // the file holds hexadecimal digits
	PreSharedKeyPos Pos    // of pre_shared_key; not valid when not given
	MyKey           *PublicKey
	PeersKey        *PublicKey

	DPDDelay   time.Duration    // 0: never
	Scripts    map[Event]string // paths
	ScriptsPos Pos              // of script; not valid when not given
}

// IKEv2 is what a remote does with IKEv2.
type IKEv2 struct {
	Common

	// Proposals in order of preference. AEADs and other ciphers stand in
	// proposals of their own (RFC 7296 §3.3).
	Proposals []IKEProposal

	CookieRequired bool
	SendPeersID    bool          // the initiator sends IDr
	Fragmentation  bool          // IKE messages may be fragmented (RFC 7383)
	AuthLifetime   time.Duration // until the authentication is repeated (RFC 4478); 0: never
	MOBIKE         bool          // the addresses of an IKE SA may change (RFC 4555)
	WindowSize     int           // requests that the peer may have outstanding (RFC 7296 §2.3)

	Request []ConfigAttribute // asked for in CFG_REQUEST
	Provide *Provide          // given in CFG_REPLY; nil: nothing

	// Words of the 2026 fork.
	ADDKERequired        bool
	ADDKEUnrequested     bool
	OfferIntermediate    bool
	UsePPK               bool
	PPKMandatory         bool
	PPKID                string
	PPKIDPos             Pos // of ppk_id, or of the block where there is none
	Childless            bool
	RequireConfigPayload bool
	RADIUS               *RADIUS // nil: none
}

// IKEv1 is what a remote would do with IKEv1.
type IKEv1 struct {
	Common
	Encryption []Algorithm
	Hash       []Algorithm
	DHGroup    []Algorithm
	MyGSSAPIID string
	DPD        bool
	DPDRetry   time.Duration
	DPDMaxFail int
}

// Provide is what an IKEv2 responder hands out (RFC 7296 §3.15).
type Provide struct {
	Pos                Pos
	AddressPool        *AddressPool // nil: no addresses
	DNS                []Address
	DHCP               []Address
	ApplicationVersion string
	MIP6HomePrefix     *Address
}

// RADIUS names the server behind an EAP responder.
type RADIUS struct {
	Server     Address
	Port       uint16
	SecretFile string
	SecretPos  Pos // not valid when SecretFile is not given
}

// AddressPool is an addresspool section.
type AddressPool struct {
	Pos    Pos
	Name   string
	Ranges []AddressRange
}

// Selector is a selector section: traffic in one direction.
type Selector struct {
	Pos       Pos
	Name      string
	Order     uint32 // smaller is stronger; 0: none
	Direction Direction
	Src, Dst  []Address // ports are in SrcPort and DstPort

	Protocol         uint8 // upper-layer protocol; 0: any
	SrcPort, DstPort PortRange
	NextHeader       uint8 // next_header_including; 0: none
	Tagged           string
	ReqID            uint32 // 0: none

	PolicyIndex string
	Policy      *Policy // nil only when the configuration has errors

	// Reverse is the selector of the other direction with source and
	// destination exchanged and the same policy; nil when there is none.
	Reverse *Selector

	// Disabled selectors are not to be installed: they, their policy or its
	// remote cannot be used. Reason says why.
	Disabled bool
	Reason   string
}

// Pairs returns the outbound selectors in file order, each with its reverse.
func (c *Config) Pairs() []Pair {
	var pairs []Pair
	for _, s := range c.Selectors {
		if s.Direction == Outbound {
			pairs = append(pairs, Pair{Outbound: s, Inbound: s.Reverse})
		}
	}
	return pairs
}

// Pair is an outbound selector and its inbound reverse, which may be nil.
type Pair struct {
	Outbound, Inbound *Selector
}

// Policy is a policy section: what happens to the traffic of selectors.
type Policy struct {
	Pos     Pos
	Name    string
	Action  Action
	Install bool // off: declared only

	RemoteIndex string
	Remote      *Remote // nil for discard and none

	// IPsecs are alternatives, in order of preference; never empty for
	// auto_ipsec unless the policy is disabled.
	IPsecs []*IPsec
	Mode   Mode
	Level  Level

	// The tunnel end points. MySAIPAddr nil means the local address of the IKE
	// SA. PeersSAIPAddr is the remote's first peers_ipaddr where the policy has
	// none; its macro IP_RW means: the peer's address, filled in when it comes.
	MySAIPAddr    *Address
	PeersSAIPAddr *Address

	InitialChildKE InitialChildKE

	PerPair       bool     // sa_per_pair: each pair of addresses has SAs of its own
	Start         bool     // initiate when the agent starts, and again when the SA is lost
	IfID          uint32   // interface identifier of SAs and policies (XFRM); 0: none
	XFRMInterface string   // network device that carries IfID; "": none
	Mark          *Mark    // firewall mark of SAs and policies; nil: none
	HWOffload     Offload  // what network devices do of the work
	MSSClamp      MSSClamp // bound of TCP's segments

	// Disabled policies cannot be used. Reason says why.
	Disabled bool
	Reason   string
}

// IPsec is an ipsec section: a bundle of SAs with a lifetime. The built-in one,
// for policies that name none, has the name "".
type IPsec struct {
	Pos           Pos
	Name          string
	Lifetime      time.Duration // 0: unlimited
	LifetimeBytes uint64        // 0: unlimited
	ExtSequence   bool          // extended sequence numbers (RFC 4303 §2.2.1)
	ReplayWindow  uint32        // packets that may arrive out of order (RFC 4303 §3.4.3); 0: no anti-replay
	SAs           []*SA         // at most one for each protocol

	// Disabled bundles cannot be used. Reason says why.
	Disabled bool
	Reason   string
}

// SA is an sa section: one transform. The built-in one has the name "".
type SA struct {
	Pos       Pos
	Name      string
	Protocol  SAProtocol
	Proposals []SAProposal // in order of preference; AEADs apart

	// Of static_ipsec: the SPI, and the keys of the one proposal.
	SPI               uint32
	EncrKey, IntegKey Secret

	// Disabled SAs cannot be used: nothing they name is built. Reason says what.
	Disabled bool
	Reason   string
}
