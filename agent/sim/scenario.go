package sim

import (
	"net/netip"
	"time"

	"racoon2/kernel"
)

// Scenario is what Run plays.
type Scenario struct {
	Name  string
	Seed  uint64
	Hosts []HostSpec
	NATs  []NAT
	// Faults rule until Duration; afterwards the network is calm.
	Faults Faults
	// Rules are faults for single messages, tried in order before Faults.
	Rules []*Rule
	Flows []Flow
	Steps []Step
	// Duration is the length of the disturbed part, Settle how long the calm
	// network then has until everything must stand.
	Duration, Settle time.Duration
	// Realm is the Kerberos of hosts that speak KINK.
	Realm Realm
	// Gap bounds the time in the calm part in which no packet of a flow that must pass
	// arrives; 0 is no bound.
	Gap time.Duration
	// StopInTurn shuts one host down after the other instead of all at once.
	StopInTurn bool
	// MaxMessages bounds the IKE messages of the whole run, retransmissions
	// and doubles included; 0 is 5,000.
	MaxMessages int
	// ShowTraffic records the packets of flows in the transcript as well.
	ShowTraffic bool
}

// HostSpec is one host.
type HostSpec struct {
	Name  string
	Addrs []netip.Addr   // its own addresses, the first is what it sends from
	Nets  []netip.Prefix // the networks behind it
	// Config is its racoon2.conf.
	Config string
	// Files are further files, by absolute name: keys and includes.
	Files map[string]string
	// Skew is how far its clock is ahead.
	Skew time.Duration
	// Shards is the number of shards of its IKEv2 engine; 0 is one.
	Shards int
	// Tap, when set, spoils the host on purpose.
	Tap *Tap
}

// Faults is how bad the network is. Chances go from 0 to 1.
type Faults struct {
	Loss      float64
	Duplicate float64
	Reorder   float64 // chance to be held back by up to Late
	Corrupt   float64 // chance of a flipped octet in an IKE datagram
	Delay     time.Duration
	Jitter    time.Duration
	Late      time.Duration
}

// calm is the network at rest.
var calm = Faults{Delay: 5 * time.Millisecond}

// Rule decides about the next Count IKE datagrams that it fits.
type Rule struct {
	From, To  string // hosts; "" is any
	Exchange  string // "IKE_AUTH"; "" is any
	Response  bool
	MessageID uint32
	AnyID     bool
	Count     int
	Drop      bool
	Double    bool
	Delay     time.Duration
}

// Flow is a stream of packets between two inner addresses.
type Flow struct {
	From, To netip.Addr
	Proto    uint8 // 0 is ICMP echo, which is answered
	Src, Dst uint16
	Start    time.Duration
	Interval time.Duration
	// Stop ends the flow; 0 lets it go on until the rest.
	Stop time.Duration
	// At rest the flow must pass, must not pass, or may do either.
	Must Must
}

// Must is what a flow has to do when everything is at rest.
type Must uint8

// What flows have to do.
const (
	Either Must = iota
	Pass
	Blocked
)

func (f Flow) selector() kernel.Selector {
	s := kernel.Selector{
		Src: host(f.From), Dst: host(f.To), Proto: f.Proto,
		SrcPort: kernel.Port(f.Src), DstPort: kernel.Port(f.Dst),
	}
	if f.Proto == 0 {
		s.Proto, s.SrcPort = protoICMP, kernel.Port(echoRequest4)
		if f.From.Is6() {
			s.Proto, s.SrcPort = protoICMPv6, kernel.Port(echoRequest6)
		}
		s.DstPort = kernel.Port(0)
	}
	return s
}

// Step is something done on purpose at a moment of the run.
type Step struct {
	At   time.Duration
	Name string // for the transcript
	Do   func(w *World)
}

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
