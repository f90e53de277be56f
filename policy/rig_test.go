package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/fake"
	"racoon2/kernel/trace"
)

// rig joins a manager to a kernel in memory, on a clock of its own. The tests
// read as ladders: something happens, and what the manager wants is compared.
type rig struct {
	*testing.T
	m        *Manager
	k        *fake.Kernel
	now      time.Time
	requests []kernel.Request // not yet carried out
	asked    []Initiate       // not yet looked at
	stands   []PolicyStands
	routes   []netip.Addr // asked for, not yet looked at
	using    []InUse
	moves    []MoveSAs
	traces   []trace.Event
}

func newRig(t *testing.T, change ...func(*kernel.Capabilities)) *rig {
	t.Helper()
	r := &rig{T: t, k: fake.New(t.Name()), now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	for _, f := range change {
		f(&r.k.Capabilities)
	}
	r.m = New(Config{Rand: rand.NewChaCha8([32]byte{1}), Capabilities: r.k.Capabilities, Engines: []kernel.EngineID{kernel.IKEv2, kernel.KINK}})
	return r
}

// handle gives the manager an input and keeps the effects.
func (r *rig) handle(in Input) {
	r.Helper()
	var out Outbox
	r.m.Handle(r.now, in, &out)
	for _, e := range out.Effects {
		switch e := e.(type) {
		case KernelRequest:
			if e.Request.Owner.Engine != kernel.PolicyManager {
				r.Errorf("request with owner %+v", e.Request.Owner)
			}
			r.requests = append(r.requests, e.Request)
		case Initiate:
			r.asked = append(r.asked, e)
		case PolicyStands:
			r.stands = append(r.stands, e)
		case Route:
			r.routes = append(r.routes, e.Remote)
		case MoveSAs:
			r.moves = append(r.moves, e)
		case InUse:
			r.using = append(r.using, e)
		case Trace:
			r.traces = append(r.traces, e.Event)
		}
	}
}

// run hands in an input and lets the kernel answer until nothing is left.
func (r *rig) run(in Input) {
	r.Helper()
	r.handle(in)
	r.settle()
}

func (r *rig) settle() {
	r.Helper()
	for n := 0; len(r.requests) > 0; n++ {
		if n > 10000 {
			r.Fatal("the manager and the kernel go on for ever")
		}
		r.answer()
	}
}

// answer lets the kernel carry out the first request.
func (r *rig) answer() {
	r.Helper()
	req := r.requests[0]
	r.requests = r.requests[1:]
	r.handle(KernelResult{r.k.Apply(r.now, req)})
}

// advance lets time pass up to the manager's deadline and beyond.
func (r *rig) advance(d time.Duration) {
	r.Helper()
	end := r.now.Add(d)
	for {
		due, ok := r.m.Deadline()
		if !ok || due.After(end) {
			break
		}
		r.now = due
		r.run(Timeout{})
	}
	r.now = end
}

// foreign does an operation as another program would, and hands in the events.
func (r *rig) foreign(op kernel.Op) {
	r.Helper()
	events, err := r.k.Foreign(r.now, op)
	if err != nil {
		r.Fatal(err)
	}
	for _, ev := range events {
		r.run(KernelEvent{ev})
	}
}

// spd lists the kernel's policies, strongest first.
func (r *rig) spd() []string {
	var out []string
	for _, p := range r.k.Apply(r.now, kernel.Request{Op: kernel.DumpPolicy{}}).Policies {
		line := fmt.Sprintf("%v %v %v", p.Direction, p.Selector, p.Action)
		for _, t := range p.Templates {
			line += fmt.Sprintf(" %v/%v/%v", t.Proto, t.Mode, t.Level)
			if t.Src.IsValid() {
				line += fmt.Sprintf("/%v-%v", t.Src, t.Dst)
			}
			line += fmt.Sprintf("#%d", t.ReqID)
		}
		out = append(out, line)
	}
	return out
}

func (r *rig) wantSPD(want ...string) {
	r.Helper()
	if got := r.spd(); !slices.Equal(got, want) {
		r.Errorf("SPD:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// wantRequests compares the requests that have not been carried out.
func (r *rig) wantRequests(want ...string) {
	r.Helper()
	var got []string
	for _, req := range r.requests {
		switch op := req.Op.(type) {
		case kernel.AddPolicy:
			got = append(got, fmt.Sprintf("add %v %v", op.Policy.Direction, op.Policy.Selector))
		case kernel.UpdatePolicy:
			got = append(got, fmt.Sprintf("update %v %v", op.Policy.Direction, op.Policy.Selector))
		case kernel.DeletePolicy:
			got = append(got, fmt.Sprintf("delete %v %v", op.Direction, op.Selector))
		case kernel.DumpPolicy:
			got = append(got, "dump")
		}
	}
	if !slices.Equal(got, want) {
		r.Errorf("requests:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// wantAsked compares, and forgets, what engines have been asked for.
func (r *rig) wantAsked(want ...string) {
	r.Helper()
	var got []string
	for _, i := range r.asked {
		line := fmt.Sprintf("%v %s %s", i.Engine, i.Remote, i.Child)
		if i.Packet != nil {
			line += fmt.Sprintf(" %v", i.Packet.Dst.Addr())
		}
		got = append(got, line)
	}
	r.asked = nil
	if !slices.Equal(got, want) {
		r.Errorf("asked for %q, want %q", got, want)
	}
}

// wantTrace looks for a trace with this reason and text, and forgets all.
func (r *rig) wantTrace(reason, text string) {
	r.Helper()
	for _, ev := range r.traces {
		if ev.Reason == reason && strings.Contains(ev.Text, text) {
			r.traces = nil
			return
		}
	}
	r.Errorf("no trace %s with %q in %v", reason, text, r.traces)
	r.traces = nil
}

// wantQuiet fails on any warning.
func (r *rig) wantQuiet() {
	r.Helper()
	for _, ev := range r.traces {
		if ev.Tag > trace.Info {
			r.Errorf("unexpected trace: %v %s", ev.Tag, ev.Text)
		}
	}
	r.traces = nil
}

// states lists the entries as "selector state".
func (r *rig) wantStates(want ...string) {
	r.Helper()
	var got []string
	for _, e := range r.m.Entries() {
		got = append(got, e.Selector+" "+e.State)
	}
	if !slices.Equal(got, want) {
		r.Errorf("entries:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// ---- selectors ----

func prefix(s string) netip.Prefix {
	if !strings.Contains(s, "/") {
		a := netip.MustParseAddr(s)
		return netip.PrefixFrom(a, a.BitLen())
	}
	return netip.MustParsePrefix(s)
}

func side(words string) []Address {
	var out []Address
	for _, w := range strings.Fields(words) {
		switch {
		case IsMacro(w):
			out = append(out, Address{Macro: w})
		case strings.HasSuffix(w, "."):
			out = append(out, Address{Name: w})
		default:
			out = append(out, Address{Prefix: prefix(w)})
		}
	}
	return out
}

// transport is an outbound transport mode selector.
func transport(name, src, dst string, change ...func(*Selector)) *Selector {
	s := &Selector{
		Name: name, Where: "test.conf:1", Direction: kernel.Out, Install: true,
		Src: side(src), Dst: side(dst), SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort,
		Action: kernel.Protect, Remote: "peer", Engines: []kernel.EngineID{kernel.IKEv2}, Child: name,
		Mode: kernel.Transport, Level: kernel.Require, ReqID: 1,
	}
	for _, f := range change {
		f(s)
	}
	return s
}

// tunnel is a tunnel mode selector between 192.0.2.1 and 192.0.2.2.
func tunnel(name, src, dst string, change ...func(*Selector)) *Selector {
	return transport(name, src, dst, append([]func(*Selector){func(s *Selector) {
		s.Mode = kernel.Tunnel
		s.MyEnd, s.PeerEnd = End{Addr: netip.MustParseAddr("192.0.2.1")}, []End{{Addr: netip.MustParseAddr("192.0.2.2")}}
	}}, change...)...)
}

func inbound(child string) func(*Selector) {
	return func(s *Selector) { s.Direction, s.Child = kernel.In, child }
}

func action(a kernel.Action) func(*Selector) {
	return func(s *Selector) { s.Action, s.Remote, s.Engines, s.Child = a, "", nil, "" }
}

func reqID(id uint32) func(*Selector)    { return func(s *Selector) { s.ReqID = id } }
func order(n uint32) func(*Selector)     { return func(s *Selector) { s.Order = n } }
func where(at string) func(*Selector)    { return func(s *Selector) { s.Where = at } }
func proto(number uint8) func(*Selector) { return func(s *Selector) { s.Proto = number } }

func ports(src, dst kernel.PortRange) func(*Selector) {
	return func(s *Selector) { s.SrcPort, s.DstPort = src, dst }
}

func settings(sel ...*Selector) *Settings { return &Settings{Selectors: sel} }

// pair is a tunnel with both its selectors.
func pair() *Settings {
	return settings(
		tunnel("net_out", "10.1.0.0/16", "10.2.0.0/16"),
		tunnel("net_in", "10.2.0.0/16", "10.1.0.0/16", inbound("net_out")))
}

func host(addrs ...string) Addresses {
	i := Interface{Name: "eth0"}
	for _, a := range addrs {
		i.Addrs = append(i.Addrs, prefix(a))
	}
	lo := Interface{Name: "lo", Addrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128")}}
	return Addresses{[]Interface{lo, i}}
}
