package resolver

import (
	"io"
	"net/netip"
	"time"

	"racoon2/kernel/trace"
)

// ---- making a resolver ----

// Config is what a Resolver is made of.
type Config struct {
	Rand io.Reader // jitter of re-queries; nil: none
}

// ---- settings: filled by agent, immutable ----

// Source is a place that names are looked up in.
type Source uint8

// The sources of a look-up, as the hosts line of nsswitch.conf names them.
const (
	Files Source = iota + 1 // "files": the hosts file
	DNS                     // "dns": the upstreams
)

// Outcome is what becomes of an answer whose policy does not stand in time.
type Outcome uint8

// The outcomes of a gate that did not open.
const (
	ServeFailure Outcome = iota // SERVFAIL: no packet can leave unprotected
	ServeAnswer                 // the answer all the same
)

// Upstream is one server that questions are forwarded to.
type Upstream struct {
	Addr    netip.AddrPort
	TLSName string // the name that its certificate must show (RFC 7858); "" is plain DNS
	// Trusted says that the AD bit of this server is believed: it validates, and
	// the way to it is safe (RFC 4035 §4.9.3), as on loopback or over TLS.
	Trusted bool
}

// Settings are the resolver's part of the configuration. Zero durations and
// sizes stand for the defaults that their comments name.
type Settings struct {
	Upstreams []Upstream // in order of preference
	Order     []Source   // nil: Files, then DNS

	TTLFloor   time.Duration // answers live at least so long; 5 s, negative: as long as they say
	TTLCeiling time.Duration // and at most so long; 24 h
	Grace      time.Duration // an address that left is kept so long; 60 s, negative: not at all

	GateBound   time.Duration // how long an answer waits for its policy; 1 s, negative: it does not wait
	GateOutcome Outcome

	// RequireDNSSEC takes for watched names only answers with AD from a Trusted upstream.
	RequireDNSSEC bool
	// Forward are names at and below which questions go upstream although RFC 6761
	// or RFC 6303 would have them answered here, as "corp.test" or "10.in-addr.arpa".
	Forward []string

	RateLimit int // questions a second of one client (IPv4 address or IPv6 /64); 0: no limit
	RateBurst int // questions at once before the limit counts; twice RateLimit

	CacheSize  int  // answers; 10000, negative: no cache
	Prefetch   bool // asks again when an answer is used in the last tenth of its life
	ServeStale time.Duration
	// MaxPending bounds questions under way, and clients that wait; 1024.
	MaxPending int
	// MaxNames bounds the names that wildcards have brought in; 10000.
	MaxNames int

	AttemptTimeout time.Duration // before the next upstream is asked, too; 1 s
}

// ---- names and questions ----

// RCode is a response code, printed as the IANA registry spells it.
type RCode uint8

// The response codes that the resolver itself gives (RFC 1035 §4.1.1).
const (
	NoError  RCode = 0
	FormErr  RCode = 1
	ServFail RCode = 2
	NXDomain RCode = 3
	NotImp   RCode = 4
	Refused  RCode = 5
)

// The types that the resolver knows by number; others are only passed on.
const (
	TypeA     uint16 = 1
	TypeCNAME uint16 = 5
	TypePTR   uint16 = 12
	TypeAAAA  uint16 = 28
)

// ClassIN is the only class that is served.
const ClassIN uint16 = 1

// Question is what is asked, and the key of the cache.
type Question struct {
	Name             string // canonical, see Canonical
	Type             uint16
	DNSSECOK         bool // DO (RFC 3225)
	CheckingDisabled bool // CD (RFC 4035 §3.2.2)
}

// ---- inputs ----

// Input is one thing that happened.
type Input interface{ input() }

// The inputs.
type (
	// Reconfigure gives the settings, the first and every later time. What is
	// known of names stays. The upstreams replace what AddServer and its like have
	// made only when they differ from those of the settings before.
	Reconfigure struct{ Settings *Settings }
	// Hosts gives the entries of the hosts file, whenever it has changed.
	Hosts struct{ Entries []HostEntry }
	// Watch replaces the names of one set: those of selectors ("policy"), those
	// that an operator added ("spmif"). Names may begin with "*.", which stands
	// for all names below. Names that Canonical refuses are traced and left out.
	Watch struct {
		Set   string
		Names []string
		// Gated has answers wait until the policy manager sends PolicyStands.
		Gated bool
		// Keep has addresses stay, in use or not, until an answer says otherwise: for
		// peers, who prove who they are wherever they are found.
		Keep bool
	}
	// Query is a client's question. Exactly one Reply or Drop follows, some time.
	Query struct {
		Client   any // handed back in Reply
		From     netip.Addr
		Question Question
	}
	// Answer is what an upstream said to an Ask.
	Answer struct {
		Ask    uint64
		RCode  RCode
		Octets []byte // the answer as clients will get it; opaque here, and kept
		TTL    uint32 // seconds that it may be kept: for a negative one by RFC 2308 §5
		// Chain are the names that CNAMEs lead over, from the question's on.
		Chain     []string
		Addresses []netip.Addr // of the chain's end, for A and AAAA
		Authentic bool         // AD
		// Hints says that it gives addresses otherwise, as ipv4hint of an HTTPS
		// record does (RFC 9460 §7.3); clients do not get such answers of watched names.
		Hints bool
	}
	// AskFailed says that an upstream could not be asked, or talked nonsense.
	AskFailed struct {
		Ask    uint64
		Reason string
	}
	// PolicyStands says that the SPD stands for a NamesChanged.
	PolicyStands struct {
		Name       string
		Generation uint64
	}
	// InUse says whether SAs exist for an address: transient failures do not make
	// such an address leave.
	InUse struct {
		Addr  netip.Addr
		Using bool
	}
	// Flush empties the cache, or takes one name out of it, and asks again for
	// what is watched.
	Flush struct{ Name string }
	// Timeout says that Deadline has passed.
	Timeout struct{}
)

func (Reconfigure) input()  {}
func (Hosts) input()        {}
func (Watch) input()        {}
func (Query) input()        {}
func (Answer) input()       {}
func (AskFailed) input()    {}
func (PolicyStands) input() {}
func (InUse) input()        {}
func (Flush) input()        {}
func (Timeout) input()      {}

// HostEntry is one line of the hosts file.
type HostEntry struct {
	Addr  netip.Addr
	Names []string // canonical; the first is the official one
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
	// Ask sends a question to an upstream. Answer or AskFailed comes back, unless
	// Cancel comes first or the upstream is silent.
	Ask struct {
		ID       uint64
		Upstream Upstream
		Question Question
		Attempt  int // 1 for the first
	}
	// Cancel ends an Ask; nothing is wanted of it any more.
	Cancel struct{ ID uint64 }
	// Reply answers a client: with Octets; or without them, with the Addresses or
	// Names of a local answer; or with RCode alone.
	Reply struct {
		Client    any
		Question  Question
		RCode     RCode
		Octets    []byte // shared: not to be changed
		Age       uint32 // seconds since the answer came, to be taken off its TTLs
		Stale     bool   // past its life: TTLs are to be StaleTTL (RFC 8767 §4)
		Authentic bool
		Local     bool // made here
		Addresses []netip.Addr
		Names     []string // of a PTR question
	}
	// Drop forgets a client without a word: it asks too often.
	Drop struct{ Client any }
	// NamesChanged says that the addresses of a watched name are others now. Where
	// a set that watches it is gated, PolicyStands has to follow.
	NamesChanged struct {
		Name       string
		Watches    []string // what names it: itself, or wildcards
		Addresses  []netip.Addr
		Left       []netip.Addr // no longer addresses of it, in their grace
		Gone       []netip.Addr // whose grace has ended with this change
		Generation uint64       // grows with each change of any name
	}
	// Trace is for the log and the counters.
	Trace struct{ Event trace.Event }
)

func (Ask) effect()          {}
func (Cancel) effect()       {}
func (Reply) effect()        {}
func (Drop) effect()         {}
func (NamesChanged) effect() {}
func (Trace) effect()        {}

// StaleTTL is the TTL in seconds of stale answers (RFC 8767 §4).
const StaleTTL = 30

// LocalTTL is the TTL in seconds of answers from the hosts file: what is
// written there may change at any time.
const LocalTTL = 0

// ---- status ----

// NameStatus is one name that is watched, or that a wildcard has brought in.
type NameStatus struct {
	Name       string
	Watches    []string
	Addresses  []netip.Addr
	Left       []netip.Addr
	Generation uint64
	Stands     bool      // the policy stands for the newest addresses
	Expires    time.Time // when the first of its answers runs out; zero: none is known, or it is the hosts file's
	FromFiles  bool
}

// ServerStatus is one upstream.
type ServerStatus struct {
	Upstream
	Current  bool          // the one that is asked first
	Down     bool          // passed over for now
	Failures int           // in a row
	RTT      time.Duration // smoothed; 0: not known
}

// Stats are the counters of spmif's STAT, in the original's order.
type Stats struct {
	Queries        uint64 // questions of clients
	Responses      uint64 // answers of upstreams
	QueriesProxy   uint64 // questions sent upstream
	ResponsesProxy uint64 // answers given to clients
	ExpiredQueries uint64 // questions that no upstream answered
	DupQueries     uint64 // questions that joined one under way
	CacheAddresses uint64 // addresses in the map
	CacheNames     uint64 // names that have an address
	CacheTotal     uint64 // names in the map
}

// Counters are the values in the order of STAT.
func (s Stats) Counters() [9]uint64 {
	return [9]uint64{
		s.Queries, s.Responses, s.QueriesProxy, s.ResponsesProxy, s.ExpiredQueries,
		s.DupQueries, s.CacheAddresses, s.CacheNames, s.CacheTotal,
	}
}
