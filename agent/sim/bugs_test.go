package sim

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"racoon2/ikev2"
	"racoon2/ikev2/message"
	"racoon2/kernel"
	"racoon2/kernel/fake"
)

// bug is something wrong with the host tokyo, put there on purpose.
type bug struct {
	name string
	tap  func() *Tap // a new one for each run, since taps may remember things
	// scenario changes the pair so that the bug shows; nil leaves it.
	scenario func(s *Scenario)
	caught   Invariant
}

// ignoring is a tap that leaves kernel requests undone and says that they are done.
func ignoring(which func(r kernel.Request) bool) *Tap {
	return &Tap{Request: func(_ *Host, r kernel.Request) []kernel.Request {
		if which(r) {
			return nil
		}
		return []kernel.Request{r}
	}}
}

// onRequest is a tap that replaces kernel requests of one kind.
func onRequest[T kernel.Op](replace func(h *Host, r kernel.Request, op T) []kernel.Request) *Tap {
	return &Tap{Request: func(h *Host, r kernel.Request) []kernel.Request {
		if op, ok := r.Op.(T); ok {
			return replace(h, r, op)
		}
		return []kernel.Request{r}
	}}
}

// onAddSA is a tap that changes SAs of one direction before they are installed.
func onAddSA(dir kernel.Direction, change func(sa *kernel.SA)) *Tap {
	return onRequest(func(_ *Host, r kernel.Request, op kernel.AddSA) []kernel.Request {
		if op.SA.Direction == dir {
			change(&op.SA)
			r.Op = op
		}
		return []kernel.Request{r}
	})
}

// flipped is a copy of a key with one bit turned over.
func flipped(key []byte) []byte {
	key = bytes.Clone(key)
	key[0] ^= 1
	return key
}

// clearPacket is a packet in clear for tokyo, as an attacker on the wire makes one.
func clearPacket() kernel.Selector {
	return Flow{From: netip.MustParseAddr("10.0.2.66"), To: netip.MustParseAddr("10.0.1.1"), Proto: 17, Src: 1, Dst: 2}.selector()
}

// rekeying makes SAs short-lived.
func rekeying(s *Scenario) {
	s.Hosts = pair(terms{ESP: "ipsec_sa_lifetime_time 20 sec;"}).Hosts
}

var bugs = []bug{
	{
		name: "does not move its SAs when its address changes, and says that they are moved",
		tap: func() *Tap {
			return ignoring(func(r kernel.Request) bool {
				switch r.Op.(type) {
				case kernel.UpdateSA, kernel.Migrate:
					return true
				}
				return false
			})
		},
		scenario: func(s *Scenario) {
			moving := pair(terms{Roaming: true, IKE: quick + "mobike on;"})
			s.Hosts, s.Flows = moving.Hosts, moving.Flows
			s.Steps = []Step{readdress(10*time.Second, "tokyo", "192.0.2.21")}
		},
		caught: NoLeakSA,
	},
	{
		name: "ignores a kernel request and says that it is done",
		tap: func() *Tap {
			return ignoring(func(r kernel.Request) bool {
				op, ok := r.Op.(kernel.AddSA)
				return ok && op.SA.Direction == kernel.Out
			})
		},
		caught: KernelAgrees,
	},
	{
		name: "installs the outbound SA before the inbound one",
		tap: func() *Tap {
			var held *kernel.Request
			return onRequest(func(_ *Host, r kernel.Request, op kernel.AddSA) []kernel.Request {
				if op.SA.Direction == kernel.In {
					held = &r
					return nil
				}
				if held == nil {
					return []kernel.Request{r}
				}
				in := *held
				held = nil
				return []kernel.Request{r, in}
			})
		},
		caught: InboundFirst,
	},
	{
		name: "forgets to delete SAs",
		tap: func() *Tap {
			return onRequest(func(*Host, kernel.Request, kernel.DeleteSA) []kernel.Request { return nil })
		},
		scenario: rekeying,
		caught:   KernelAgrees,
	},
	{
		name:   "keeps its SAs over the shutdown",
		tap:    overShutdown,
		caught: NoLeakSA,
	},
	{
		name: "installs swapped traffic selectors",
		tap: func() *Tap {
			return onAddSA(kernel.Out, func(sa *kernel.SA) { sa.Selector = sa.Selector.Reverse() })
		},
		caught: SelectorsAgree,
	},
	{
		name: "widens the traffic selectors that it agreed on",
		tap: func() *Tap {
			return onAddSA(kernel.In, func(sa *kernel.SA) { sa.Selector.Src = netip.MustParsePrefix("10.0.0.0/8") })
		},
		caught: SelectorsAgree,
	},
	{
		name: "answers with the wrong Message ID",
		tap: func() *Tap {
			return &Tap{Send: func(_ *Host, s ikev2.Send) []ikev2.Send {
				if len(s.Data) >= message.HeaderLen && message.Flags(s.Data[19])&message.FlagResponse != 0 {
					s.Data = bytes.Clone(s.Data)
					binary.BigEndian.PutUint32(s.Data[20:], binary.BigEndian.Uint32(s.Data[20:])+7)
				}
				return []ikev2.Send{s}
			}}
		},
		scenario: func(s *Scenario) { s.Flows[0].Start = 5 * time.Second }, // osaka begins
		caught:   Answered,
	},
	{
		name: "drops its Discard policies",
		tap: func() *Tap {
			return ignoring(func(r kernel.Request) bool {
				op, ok := r.Op.(kernel.AddPolicy)
				return ok && op.Policy.Action == kernel.Discard
			})
		},
		scenario: withDiscard,
		caught:   DiscardHolds,
	},
	{
		name: "forgets to install an inbound policy",
		tap: func() *Tap {
			return ignoring(func(r kernel.Request) bool {
				op, ok := r.Op.(kernel.AddPolicy)
				return ok && op.Policy.Direction == kernel.In
			})
		},
		caught: PolicyAgrees,
	},
	{
		name: "never retransmits",
		tap: func() *Tap {
			return &Tap{Input: func(_ *Host, in ikev2.Input) bool {
				_, timeout := in.(ikev2.Timeout)
				return !timeout
			}}
		},
		scenario: func(s *Scenario) {
			s.Rules = []*Rule{{From: "tokyo", Exchange: "IKE_SA_INIT", Count: 1, Drop: true}}
			s.Flows = s.Flows[:1] // osaka does not begin
		},
		caught: Flows,
	},
	{
		name: "retransmits with other octets",
		tap: func() *Tap {
			sent := make(map[[message.HeaderLen]byte]bool)
			return &Tap{Send: func(_ *Host, s ikev2.Send) []ikev2.Send {
				if len(s.Data) < message.HeaderLen {
					return []ikev2.Send{s}
				}
				head := [message.HeaderLen]byte(s.Data)
				if sent[head] {
					s.Data = bytes.Clone(s.Data)
					s.Data[len(s.Data)-1]++
				}
				sent[head] = true
				return []ikev2.Send{s}
			}}
		},
		scenario: func(s *Scenario) {
			s.Rules = []*Rule{{From: "osaka", Exchange: "IKE_AUTH", Response: true, MessageID: 1, Count: 1, Drop: true}}
			s.Flows = s.Flows[:1]
		},
		caught: SameOctets,
	},
	{
		name: "leaks reserved SPIs",
		tap: func() *Tap {
			return onRequest(func(_ *Host, r kernel.Request, _ kernel.GetSPI) []kernel.Request { return []kernel.Request{r, r} })
		},
		caught: NoLeakSPI,
	},
	{
		name: "sends in clear while there is no SA",
		tap: func() *Tap {
			return &Tap{Output: func(_ *Host, p fake.Packet, d *fake.Datagram) *fake.Datagram {
				if d == nil {
					d = &fake.Datagram{Src: p.Selector.Src.Addr(), Dst: p.Selector.Dst.Addr(), Inner: p}
				}
				return d
			}}
		},
		caught: NoClearOut,
	},
	{
		name:   "installs a wrong key",
		tap:    func() *Tap { return onAddSA(kernel.Out, func(sa *kernel.SA) { sa.EncrKey = flipped(sa.EncrKey) }) },
		caught: KeysAgree,
	},
	{
		name: "uses one key for both directions",
		tap: func() *Tap {
			var inbound []byte
			return onRequest(func(_ *Host, r kernel.Request, op kernel.AddSA) []kernel.Request {
				if op.SA.Direction == kernel.In {
					inbound = bytes.Clone(op.SA.EncrKey)
				} else if inbound != nil {
					op.SA.EncrKey = inbound
					r.Op = op
				}
				return []kernel.Request{r}
			})
		},
		caught: NoKeyReuse,
	},
	{
		name: "accepts clear packets where they are protected",
		tap: func() *Tap {
			return &Tap{Deliver: func(_ *Host, d *fake.Datagram, p *fake.Packet) *fake.Packet {
				if !d.Protected() && p == nil {
					return &d.Inner
				}
				return p
			}}
		},
		scenario: func(s *Scenario) {
			s.Steps = append(s.Steps, Step{At: 3 * time.Second, Name: "inject", Do: func(w *World) { w.Inject(clearPacket()) }})
		},
		caught: NoClearIn,
	},
	{
		name:     "has no anti-replay window",
		tap:      func() *Tap { return onAddSA(kernel.In, func(sa *kernel.SA) { sa.Replay = 0 }) },
		scenario: func(s *Scenario) { s.Faults.Duplicate = 0.5 },
		caught:   NoReplay,
	},
	{
		name: "answers each message twenty times",
		tap: func() *Tap {
			return &Tap{Send: func(_ *Host, s ikev2.Send) []ikev2.Send { return slices.Repeat([]ikev2.Send{s}, 20) }}
		},
		scenario: func(s *Scenario) { s.MaxMessages = 60 },
		caught:   NoStorm,
	},
	{
		name: "asks for one child after the other",
		tap: func() *Tap {
			return &Tap{Output: func(h *Host, _ fake.Packet, d *fake.Datagram) *fake.Datagram {
				if d != nil && d.Protected() {
					again := ikev2.Initiate{Remote: "osaka", Child: "osaka_out", Packet: &d.Inner.Selector}
					h.later(0, func() { h.engineInput(h.shards[0], again) })
				}
				return d
			}}
		},
		scenario: func(s *Scenario) {
			// The engine takes a child that is seconds old for the answer.
			for i := range s.Flows {
				s.Flows[i].Interval = 6 * time.Second
			}
			s.Duration = 3 * time.Minute
		},
		caught: NoPileUp,
	},
	{
		name: "loses an IKE SA that its peer keeps",
		tap: func() *Tap {
			return &Tap{Send: func(h *Host, s ikev2.Send) []ikev2.Send {
				m, err := message.DecodeHeader(s.Data)
				if err == nil && m.Exchange == message.INFORMATIONAL && !h.stopping {
					return nil
				}
				return []ikev2.Send{s}
			}}
		},
		scenario: func(s *Scenario) {
			for i := range s.Flows {
				s.Flows[i].Must, s.Flows[i].Stop = Either, 6*time.Second
			}
			s.Steps = append(s.Steps, Step{At: 8 * time.Second, Name: "flush", Do: func(w *World) { w.Host("tokyo").Flush("") }})
		},
		caught: IKEAgree,
	},
}

// on puts a pair of hosts on a good network, in which the bug would show.
func (b bug) on(s Scenario) Scenario {
	s.Faults = calm
	s.Duration, s.Settle = 30*time.Second, 10*time.Second
	if b.scenario != nil {
		b.scenario(&s)
	}
	s.Name, s.Seed = b.name, 1
	return s
}

// TestBugs shows that the invariants catch what they are for: a host with a bug
// breaks the one named, and the same run without the bug breaks none.
func TestBugs(t *testing.T) {
	for _, b := range bugs {
		b.check(t, func() Scenario { return pair(terms{}) })
	}
}

// check runs the pair without the bug, and with it at tokyo.
func (b bug) check(t *testing.T, hosts func() Scenario) {
	t.Run(b.name, func(t *testing.T) {
		t.Parallel()
		if report := Run(b.on(hosts())); report.Err() != nil {
			t.Fatalf("without the bug:\n%v", report)
		}
		bad := b.on(hosts())
		bad.Hosts[0].Tap = b.tap()
		if report := Run(bad); !report.Broke(b.caught) {
			t.Fatalf("%q was not reported broken:\n%v", b.caught, report)
		}
	})
}

// overShutdown keeps a host's SAs when its agent ends.
func overShutdown() *Tap {
	return onRequest(func(h *Host, r kernel.Request, _ kernel.DeleteSA) []kernel.Request {
		if h.stopping {
			return nil
		}
		return []kernel.Request{r}
	})
}
