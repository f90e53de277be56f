package policy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/fake"
)

// randomSettings draws selectors from a small world in which much overlaps.
func randomSettings(rnd *rand.Rand) *Settings {
	s := &Settings{}
	for n := rnd.IntN(7); n > 0; n-- {
		bits := 24 + rnd.IntN(9)
		dst := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(rnd.IntN(8))}), bits).Masked()
		sel := transport(fmt.Sprintf("%v#%d", dst, n), "192.0.2.1", dst.String(), order(uint32(rnd.IntN(4))), reqID(uint32(1+rnd.IntN(2))))
		switch rnd.IntN(4) {
		case 0:
			action(kernel.Bypass)(sel)
		case 1:
			action(kernel.Discard)(sel)
		}
		if rnd.IntN(3) == 0 {
			sel.Proto, sel.DstPort = 6, kernel.PortRange{First: 80, Last: 80 + uint16(rnd.IntN(2))}
		}
		s.Selectors = append(s.Selectors, sel)
	}
	return s
}

// clear lists which of the world's packets pass in clear.
func (r *rig) clear() [16]bool {
	var out [16]bool
	for i := range out {
		p := packet("192.0.2.1", fmt.Sprintf("198.51.100.%d", i%8))
		if i >= 8 {
			p.DstPort = kernel.Port(4711)
		}
		wire, _ := r.k.Output(r.now, fake.Packet{Selector: p})
		out[i] = wire != nil
	}
	return out
}

// Whatever changes into whatever, a packet that passes in clear neither before
// nor after never does in between.
func TestNeverAClearMoment(t *testing.T) {
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		r := newRig(t)
		r.run(Start{randomSettings(rnd)})
		before := r.clear()
		next := randomSettings(rnd)

		ideal := newRig(t)
		ideal.run(Start{next})
		after := ideal.clear()

		r.handle(Reconfigure{next})
		for len(r.requests) > 0 {
			r.answer()
			for i, passes := range r.clear() {
				if passes && !before[i] && !after[i] {
					t.Fatalf("seed %d: packet %d passes in clear in between", seed, i)
				}
			}
		}
		if got := r.clear(); got != after {
			t.Fatalf("seed %d: in the end %v, want %v", seed, got, after)
		}
		got, want := r.spd(), ideal.spd()
		ideal.sameSPD(got)
		if len(got) != len(want) {
			t.Fatalf("seed %d: %d policies, want %d", seed, len(got), len(want))
		}
	}
}

// Whatever comes in whatever order, with a kernel that fails now and then and
// others that meddle, the SPD ends as the settings want it, and empty.
func TestAlwaysSettles(t *testing.T) {
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		r := newRig(t)
		last := randomSettings(rnd)
		r.handle(Start{last})
		for step := range 60 {
			r.meddle(rnd, &last, step)
		}
		r.settle()
		r.advance(20 * time.Minute)
		r.run(KernelEvent{kernel.Resync{}})
		r.advance(20 * time.Minute)

		ideal := newRig(t)
		ideal.run(Start{last})
		if got, want := strings.Join(r.spd(), "\n"), ideal.spd(); len(r.spd()) != len(want) {
			t.Fatalf("seed %d: SPD\n%s\nwant\n%s", seed, got, strings.Join(want, "\n"))
		}
		ideal.sameSPD(r.spd())
		for _, e := range r.m.Entries() {
			if e.State != "installed" && !strings.Contains(e.State, "comes first") {
				t.Fatalf("seed %d: %s %s", seed, e.Selector, e.State)
			}
		}
		r.run(Shutdown{})
		r.advance(20 * time.Minute)
		if !r.m.Idle() || len(r.spd()) != 0 || len(r.m.byID) != 0 || len(r.m.inFlight) != 0 || r.m.timers.Len() != 0 {
			t.Fatalf("seed %d: left behind: %q, %d numbers, %d requests, %d timers", seed, r.spd(), len(r.m.byID), len(r.m.inFlight), r.m.timers.Len())
		}
	}
}

// meddle lets one random thing happen.
func (r *rig) meddle(rnd *rand.Rand, last **Settings, step int) {
	switch rnd.IntN(10) {
	case 0:
		*last = randomSettings(rnd)
		r.handle(Reconfigure{*last})
	case 1:
		faulty := []kernel.Op{kernel.AddPolicy{}, kernel.UpdatePolicy{}, kernel.DumpPolicy{}}[rnd.IntN(3)]
		if step%30 == 0 { // after three of these a policy is left behind
			faulty = kernel.DeletePolicy{}
		}
		r.k.Fail(faulty, errors.New("no memory"))
	case 2:
		if rnd.IntN(3) == 0 {
			r.k.LoseEvents(1)
		}
		r.removeOne(rnd)
	case 3:
		r.now = r.now.Add(time.Duration(rnd.IntN(3000)) * time.Millisecond)
		r.handle(Timeout{})
	default:
		if len(r.requests) > 0 {
			r.answer()
		}
	}
}

// removeOne removes a policy as another program would.
func (r *rig) removeOne(rnd *rand.Rand) {
	all := r.k.Apply(r.now, kernel.Request{Op: kernel.DumpPolicy{}}).Policies
	if len(all) == 0 {
		return
	}
	p := all[rnd.IntN(len(all))]
	events, err := r.k.Foreign(r.now, kernel.DeletePolicy{Selector: p.Selector, Direction: p.Direction})
	if err != nil {
		return // the fault was for us
	}
	for _, ev := range events {
		r.handle(KernelEvent{ev})
	}
}
