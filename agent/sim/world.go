package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"racoon2/kernel"
)

// epoch is when every simulation begins.
var epoch = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// Bounds of a run.
const (
	defaultMessages = 5000
	maxEvents       = 2_000_000
	quietLimit      = 2 * time.Minute  // for what is under way to come to an end
	stopLimit       = 30 * time.Second // for an orderly end of a host
	probeTime       = 10 * time.Second // for packets at rest to arrive
)

// World is a running Scenario. Steps get it.
type World struct {
	scenario   *Scenario
	now        time.Duration
	queue      queue
	rand       *rand.Rand
	hosts      []*Host
	net        *network
	wire       *wire
	kinkWire   *kinkWire
	kdc        *kdc
	traffic    *traffic
	report     *Report
	keys       map[[sha256.Size]byte][]keyUse // every key ever installed, by digest
	busy       int                            // datagrams, kernel operations and jobs under way
	flowsEnded bool
	over       bool
}

// Run plays a scenario to its end.
func Run(s Scenario) *Report {
	w := newWorld(&s)
	for i := range s.Hosts {
		h, err := newHost(w, &s.Hosts[i], i)
		if err != nil {
			w.violate(s.Hosts[i].Name, Idle, "it cannot start: %v", err)
			return w.report
		}
		w.hosts = append(w.hosts, h)
	}
	for _, h := range w.hosts {
		h.start()
	}
	for _, step := range s.Steps {
		w.queue.plan(step.At, func() {
			w.note(line{host: "(step)", text: step.Name})
			step.Do(w)
		})
	}
	for i, f := range s.Flows {
		w.traffic.start(i, f)
	}
	w.runUntil(s.Duration)
	w.net.faults, w.net.rules = calm, nil
	w.runUntil(s.Duration + s.Settle)
	w.rest()
	w.stopAll()
	w.report.Elapsed = w.now
	return w.report
}

func newWorld(s *Scenario) *World {
	w := &World{
		scenario: s,
		report:   &Report{Name: s.Name, Seed: s.Seed},
		rand:     rand.New(rand.NewPCG(s.Seed, 0x5eed)),
		keys:     make(map[[sha256.Size]byte][]keyUse),
	}
	w.net = &network{w: w, faults: s.Faults, cut: make(map[netip.Addr]bool)}
	for _, r := range s.Rules {
		copied := *r // a rule counts down; the scenario may be played again
		w.net.rules = append(w.net.rules, &copied)
	}
	for _, n := range s.NATs {
		w.net.nats = append(w.net.nats, newNAT(n))
	}
	w.wire, w.kinkWire = newWire(w), newKINKWire(w)
	w.kdc = newKDC(w, s.Realm)
	w.traffic = newTraffic(w)
	return w
}

// source makes the random source of one life of one host.
func (w *World) source(host, life int) *rand.ChaCha8 {
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], w.scenario.Seed)
	binary.BigEndian.PutUint64(seed[8:], uint64(host))
	binary.BigEndian.PutUint64(seed[16:], uint64(life))
	return rand.NewChaCha8(seed)
}

// Now is the virtual time.
func (w *World) Now() time.Time { return epoch.Add(w.now) }

// Host finds a host by name; a scenario that misspells one is a broken test.
func (w *World) Host(name string) *Host {
	for _, h := range w.hosts {
		if h.Name == name {
			return h
		}
	}
	panic(fmt.Sprintf("sim: scenario %s has no host %q", w.scenario.Name, name))
}

// SetFaults changes how bad the network is.
func (w *World) SetFaults(f Faults) { w.net.faults = f }

// AddRule adds a fault for single messages.
func (w *World) AddRule(r Rule) { w.net.rules = append(w.net.rules, &r) }

// RebootNATs makes every NAT forget its mappings.
func (w *World) RebootNATs() {
	for _, n := range w.net.nats {
		n.forget()
	}
}

// RebindNATs gives every NAT another address.
func (w *World) RebindNATs(outside netip.Addr) {
	for _, n := range w.net.nats {
		n.rebind(outside)
	}
}

// Cut cuts an address off the network, and Mend gives it back. Nobody is told.
func (w *World) Cut(a netip.Addr) { w.net.cut[a] = true }

// Mend undoes Cut.
func (w *World) Mend(a netip.Addr) { delete(w.net.cut, a) }

// Ping lets the host that has from send an echo request to to.
func (w *World) Ping(from, to netip.Addr) {
	w.traffic.send(packet{selector: Flow{From: from, To: to}.selector(), flow: -1})
}

// Inject puts a packet in clear on the wire, which no host sent.
func (w *World) Inject(packet kernel.Selector) { w.traffic.inject(packet) }

// hostAt finds the host that has an address, or the network it is in.
func (w *World) hostAt(a netip.Addr) *Host {
	for _, h := range w.hosts {
		if h.has(a) {
			return h
		}
	}
	return nil
}

// after plans something; busyAfter does so for what is not a mere timer.
func (w *World) after(d time.Duration, f func()) { w.queue.plan(w.now+d, f) }

func (w *World) busyAfter(d time.Duration, f func()) {
	w.busy++
	w.after(d, func() {
		w.busy--
		f()
	})
}

// runUntil lets the events up to a moment happen.
func (w *World) runUntil(t time.Duration) {
	for !w.over {
		e, ok := w.queue.next(t)
		if !ok {
			break
		}
		w.step(e)
	}
	w.now = max(w.now, t)
}

// runWhile lets events happen as long as cond holds, for at most limit. It
// says whether cond came to an end.
func (w *World) runWhile(limit time.Duration, cond func() bool) bool {
	end := w.now + limit
	for cond() {
		e, ok := w.queue.next(end)
		if !ok || w.over {
			w.now = max(w.now, end)
			return !cond()
		}
		w.step(e)
	}
	return true
}

func (w *World) step(e event) {
	w.now = e.at
	w.report.Events++
	if w.report.Events > maxEvents {
		w.violate("", NoStorm, "more than %d events", maxEvents)
		w.over = true
		return
	}
	e.run()
}

// countMessage bounds the messages of a run.
func (w *World) countMessage(from *Host) {
	limit := w.scenario.MaxMessages
	if limit == 0 {
		limit = defaultMessages
	}
	w.report.Messages++
	if w.report.Messages > limit && !w.over {
		w.violate(from.Name, NoStorm, "more than %d messages", limit)
		w.over = true
	}
}
