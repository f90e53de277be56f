package resolver

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// TestChaos throws random inputs at a resolver and holds what must always hold:
// every client gets one answer, none with an address whose policy does not
// stand, and nothing is left over in the end.
func TestChaos(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { chaos(t, seed) })
	}
}

// disorder is one run of TestChaos.
type disorder struct {
	*ladder
	rng     *rand.Rand
	asks    []Ask
	waiting map[int]bool
	next    int
	stand   map[netip.Addr]map[string]bool // addresses whose policy stands
	changes []NamesChanged
	answers []Answer // by what their octets say
}

func chaos(t *testing.T, seed uint64) {
	d := &disorder{
		ladder: newLadder(t, Settings{ServeStale: time.Duration(seed%2) * time.Minute, Prefetch: seed%3 == 0, MaxNames: 5}),
		rng:    rand.New(seeded(seed)), waiting: map[int]bool{}, stand: map[netip.Addr]map[string]bool{},
	}
	d.r.rand = seeded(seed + 1)
	d.watch("a.x.", "b.x.", "*.w.")
	for range 3000 {
		d.step()
		d.look()
	}
	d.pass(time.Minute)
	d.look()
	if len(d.waiting) > 0 || !d.r.Idle() {
		t.Errorf("%d clients have no answer", len(d.waiting))
	}
	d.do(Watch{Set: "policy"})
	d.do(Watch{Set: "spmif"})
	d.pass(time.Minute)
	r := d.r
	if len(r.names)+len(r.byAddr)+len(r.pending)+len(r.asks)+r.background+r.brought+r.timers.Len()+len(r.queue) > 0 {
		t.Errorf("left over: %d names, %d addresses, %d questions, %d asks, %d in the background, %d brought in, %d timers, %d queued",
			len(r.names), len(r.byAddr), len(r.pending), len(r.asks), r.background, r.brought, r.timers.Len(), len(r.queue))
	}
}

func (d *disorder) name() string {
	return []string{"a.x.", "b.x.", "c.x.", "h.w.", "i.w.", "j.k.w."}[d.rng.IntN(6)]
}

func (d *disorder) addr(kind uint16) netip.Addr {
	if kind == TypeA {
		return netip.AddrFrom4([4]byte{192, 0, 2, byte(d.rng.IntN(6))})
	}
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(d.rng.IntN(6))})
}

func (d *disorder) kind() uint16 { return []uint16{TypeA, TypeAAAA}[d.rng.IntN(2)] }

func (d *disorder) step() {
	switch d.rng.IntN(12) {
	case 0, 1, 2:
		d.next++
		d.waiting[d.next] = true
		d.do(Query{Client: d.next, Question: Question{Name: d.name(), Type: d.kind(), DNSSECOK: d.rng.IntN(4) == 0}})
	case 3, 4, 5:
		d.answerSome()
	case 6:
		if len(d.asks) > 0 {
			d.do(AskFailed{Ask: d.asks[d.rng.IntN(len(d.asks))].ID, Reason: "chaos"})
		}
	case 7:
		if len(d.changes) > 0 {
			c := d.changes[0]
			d.changes = d.changes[1:]
			for _, a := range c.Addresses {
				if d.stand[a] == nil {
					d.stand[a] = map[string]bool{}
				}
				d.stand[a][c.Name] = true
			}
			d.stands(c)
		}
	case 8:
		d.do(InUse{d.addr(d.kind()), d.rng.IntN(2) == 0})
	case 9:
		d.pass(time.Duration(d.rng.IntN(5000)) * time.Millisecond)
	case 10:
		d.rare()
	case 11:
		d.pass(time.Duration(d.rng.IntN(300)) * time.Millisecond)
	}
}

func (d *disorder) rare() {
	switch d.rng.IntN(20) {
	case 0:
		d.do(Flush{})
	case 1:
		d.do(Flush{Name: d.name()})
	case 2:
		d.watch("b.x.", "a.x.", "*.w.")
	case 3:
		d.do(Watch{Set: "spmif", Names: []string{d.name()}})
	case 4:
		d.pass(time.Minute)
	}
}

func (d *disorder) answerSome() {
	if len(d.asks) == 0 {
		return
	}
	a := d.asks[d.rng.IntN(len(d.asks))]
	in := Answer{Ask: a.ID, TTL: uint32(d.rng.IntN(30)), Chain: []string{a.Question.Name}}
	switch d.rng.IntN(6) {
	case 0:
		in.RCode = ServFail
	case 1:
		in.RCode = NXDomain
	default:
		if d.rng.IntN(3) == 0 {
			in.Chain = append(in.Chain, d.name())
		}
		for range d.rng.IntN(4) {
			if x := d.addr(a.Question.Type); !slices.Contains(in.Addresses, x) {
				in.Addresses = append(in.Addresses, x)
			}
		}
	}
	in.Octets = binary.BigEndian.AppendUint32(nil, uint32(len(d.answers)))
	d.answers = append(d.answers, in)
	d.do(in)
}

// protected wants the policy of every address in an answer to stand, for all
// the watched names on its way.
func (d *disorder) protected(r Reply) {
	d.t.Helper()
	if r.Octets == nil {
		return
	}
	a := d.answers[binary.BigEndian.Uint32(r.Octets)]
	for _, name := range a.Chain {
		if name == "c.x." {
			continue // is never gated
		}
		for _, addr := range a.Addresses {
			if !d.stand[addr][name] {
				d.t.Fatalf("a client gets %v of %s, whose policy does not stand", addr, name)
			}
		}
	}
}

// look takes the effects and checks them.
func (d *disorder) look() {
	d.t.Helper()
	for _, e := range d.out {
		switch e := e.(type) {
		case Ask:
			d.asks = append(d.asks, e)
		case Cancel:
			d.asks = slices.DeleteFunc(d.asks, func(a Ask) bool { return a.ID == e.ID })
		case NamesChanged:
			d.changes = append(d.changes, e)
			for _, a := range e.Gone {
				delete(d.stand[a], e.Name)
			}
		case Reply:
			client := e.Client.(int)
			if !d.waiting[client] {
				d.t.Fatalf("client %d gets a second answer", client)
			}
			delete(d.waiting, client)
			d.protected(e)
		}
	}
	d.out = d.out[:0]
	if len(d.asks) > 100 {
		d.asks = d.asks[50:]
	}
	d.consistent()
}

// consistent compares the tables of the resolver with each other.
func (d *disorder) consistent() {
	d.t.Helper()
	r := d.r
	mapped, brought := 0, 0
	for _, names := range r.byAddr {
		mapped += len(names)
	}
	for _, n := range r.names {
		mapped -= len(n.addrs)
		if !n.own {
			brought++
		}
		for a := range n.addrs {
			if !slices.Contains(r.byAddr[a], n) {
				d.t.Fatalf("%v does not know %s", a, n.name)
			}
		}
		if n.dead {
			d.t.Fatalf("%s is dead", n.name)
		}
		if n.own && !n.timer.Armed() && !n.families[0].asking && !n.families[1].asking {
			d.t.Fatalf("%s will never be asked for again", n.name)
		}
	}
	if mapped != 0 || brought != r.brought {
		d.t.Fatalf("the map is off by %d; %d names are brought in, %d counted", mapped, brought, r.brought)
	}
}
