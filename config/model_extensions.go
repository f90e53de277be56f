package config

import "time"

// The values of directives that the original does not have.

// Kernel names what carries IPsec.
type Kernel uint8

// The kernel backends.
const (
	KernelAuto Kernel = iota + 1 // the first that works
	KernelXFRM
	KernelPFKey
	KernelUserspace
)

func (k Kernel) String() string { return wordOf(kernelWords, k) }

// LogFormat is the form of the agent's log.
type LogFormat uint8

// The forms of the log.
const (
	LogText LogFormat = iota + 1
	LogJSON
)

func (f LogFormat) String() string { return wordOf(logFormatWords, f) }

// Mark is a firewall mark; only the bits of Mask count.
type Mark struct {
	Value, Mask uint32
}

// Offload says what a network device does of IPsec.
type Offload uint8

// The settings of hw_offload.
const (
	OffloadOff    Offload = iota + 1
	OffloadCrypto         // the cipher alone
	OffloadPacket         // the whole of ESP, with its policies
)

func (o Offload) String() string { return wordOf(offloadWords, o) }

// MSSClamp bounds the maximum segment size of TCP connections through a tunnel.
// The zero value leaves it alone.
type MSSClamp struct {
	PathMTU bool   // as large as the path's MTU lets it be
	Octets  uint16 // so large; 0: not bounded by a number
}

// NameServer is an upstream server. Port is 53 where none is written, and 853
// for DNS over TLS (RFC 7858).
type NameServer struct {
	Address
	TLSName string // that its certificate must show (RFC 8310 §8.1); "" is plain DNS
}

// ResolverOptions are what the resolver section has beyond the original's.
type ResolverOptions struct {
	CacheSize   int           // answers; 0: no cache
	TTLFloor    time.Duration // answers live at least so long
	TTLCeiling  time.Duration // and at most so long
	ServeStale  time.Duration // answers are kept so long beyond their lives (RFC 8767); 0: not at all
	Prefetch    bool          // asks again before an answer in use ends
	GateTime    time.Duration // how long an answer waits for its policy; 0: it does not wait
	GateOutcome GateOutcome   // of an answer whose policy does not stand in time

	AddressGrace  time.Duration // an address that has left its name counts as leaving so long; 0: not at all
	AddressAction Action        // on traffic to such an address: ActionDiscard or ActionNone

	RateLimit     int      // questions a second of one client; 0: no limit
	RateBurst     int      // questions at once before the limit counts
	RequireDNSSEC bool     // addresses of names in selectors count only where they are authentic
	Forward       []string // names, with all below, that are asked for upstream though they are special (RFC 6761)
}

// GateOutcome is what becomes of an answer whose policy does not stand in time.
type GateOutcome uint8

// The settings of gate_outcome.
const (
	GateServFail GateOutcome = iota + 1 // SERVFAIL: no packet can leave unprotected
	GateAnswer                          // the answer all the same
)

func (o GateOutcome) String() string { return wordOf(gateWords, o) }
