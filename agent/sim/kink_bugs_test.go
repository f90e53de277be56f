package sim

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/fake"
	"racoon2/kink"
	"racoon2/kink/message"
)

// kinkType is the type of a KINK message.
func kinkType(data []byte) message.Type {
	h, _ := message.Peek(data)
	return h.Type
}

// kinkBugs are wrong with tokyo, put there on purpose.
var kinkBugs = []bug{
	{
		name: "never retransmits",
		tap: func() *Tap {
			return &Tap{KINKInput: func(_ *Host, in kink.Input) bool {
				_, timeout := in.(kink.Timeout)
				return !timeout
			}}
		},
		scenario: func(s *Scenario) {
			s.Rules = []*Rule{{From: "tokyo", Exchange: "CREATE", Count: 1, Drop: true}}
			s.Flows = s.Flows[:1]
		},
		caught: Flows,
	},
	{
		name: "sends each message twice",
		tap: func() *Tap {
			return &Tap{KINKSend: func(_ *Host, s kink.Send) []kink.Send { return []kink.Send{s, s} }}
		},
		caught: FreshProof,
	},
	{
		name: "answers another XID",
		tap: func() *Tap {
			return &Tap{KINKSend: func(_ *Host, s kink.Send) []kink.Send {
				if kinkType(s.Data) == message.REPLY {
					s.Data = bytes.Clone(s.Data)
					binary.BigEndian.PutUint32(s.Data[8:], binary.BigEndian.Uint32(s.Data[8:])+77)
				}
				return []kink.Send{s}
			}}
		},
		scenario: func(s *Scenario) { s.Flows[0].Start = 5 * time.Second }, // osaka begins
		caught:   Answered,
	},
	{
		name: "leaves the checksum out",
		tap: func() *Tap {
			return &Tap{KINKSend: func(h *Host, s kink.Send) []kink.Send {
				m, err := message.Decode(s.Data)
				if err != nil || kinkType(s.Data) != message.CREATE {
					return []kink.Send{s}
				}
				m.Checksum = nil
				if s.Data, err = message.Encode(m, nil); err != nil {
					h.w.violate(h.Name, NoPanic, "the bug cannot be made: %v", err)
				}
				return []kink.Send{s}
			}}
		},
		caught: Sealed,
	},
	{
		name: "does not hear DELETE",
		tap: func() *Tap {
			return &Tap{KINKInput: func(_ *Host, in kink.Input) bool {
				d, ok := in.(kink.Datagram)
				return !ok || kinkType(d.Data) != message.DELETE
			}}
		},
		scenario: func(s *Scenario) {
			s.Steps = append(s.Steps, Step{At: 8 * time.Second, Name: "flush", Do: func(w *World) { w.Host("osaka").Flush("") }})
		},
		caught: ChildrenAgree,
	},
	{
		name: "forgets to delete SAs",
		tap: func() *Tap {
			return onRequest(func(*Host, kernel.Request, kernel.DeleteSA) []kernel.Request { return nil })
		},
		scenario: func(s *Scenario) {
			s.Steps = append(s.Steps, Step{At: 8 * time.Second, Name: "flush", Do: func(w *World) { w.Host("osaka").Flush("") }})
		},
		caught: KernelAgrees,
	},
	{
		name:   "installs a wrong key",
		tap:    func() *Tap { return onAddSA(kernel.Out, func(sa *kernel.SA) { sa.EncrKey = flipped(sa.EncrKey) }) },
		caught: KeysAgree,
	},
	{
		name: "leaks reserved SPIs",
		tap: func() *Tap {
			return onRequest(func(_ *Host, r kernel.Request, _ kernel.GetSPI) []kernel.Request { return []kernel.Request{r, r} })
		},
		caught: NoLeakSPI,
	},
	{
		name:   "keeps its SAs over the shutdown",
		tap:    overShutdown,
		caught: NoLeakSA,
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
		name: "uses the same key for its next SA",
		tap: func() *Tap {
			var first []byte
			return onAddSA(kernel.Out, func(sa *kernel.SA) {
				if first == nil {
					first = bytes.Clone(sa.EncrKey)
				}
				sa.EncrKey = bytes.Clone(first)
			})
		},
		scenario: func(s *Scenario) { s.Hosts = kinkPair(kinkTerms{ESP: "ipsec_sa_lifetime_time 20 sec;"}).Hosts },
		caught:   NoKeyReuse,
	},
	{
		name: "loses its SAs and does not notice for two minutes",
		tap: func() *Tap {
			return &Tap{Deliver: func(h *Host, _ *fake.Datagram, p *fake.Packet) *fake.Packet {
				if h.w.now > 40*time.Second && h.w.now < 160*time.Second {
					return nil
				}
				return p
			}}
		},
		scenario: func(s *Scenario) { s.Settle, s.Gap = 4*time.Minute, kinkGap },
		caught:   NoBlackHole,
	},
	{
		name: "answers each message sixty times",
		tap: func() *Tap {
			return &Tap{KINKSend: func(_ *Host, s kink.Send) []kink.Send {
				if kinkType(s.Data) != message.REPLY {
					return []kink.Send{s}
				}
				list := make([]kink.Send, 60)
				for i := range list {
					list[i] = s
				}
				return list
			}}
		},
		scenario: func(s *Scenario) { s.MaxMessages = 50 },
		caught:   NoStorm,
	},
}

// TestKINKBugs shows that the invariants catch what they are for, as TestBugs does.
func TestKINKBugs(t *testing.T) {
	for _, b := range kinkBugs {
		b.check(t, func() Scenario { return kinkPair(kinkTerms{}) })
	}
}
