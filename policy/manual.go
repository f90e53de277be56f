package policy

import (
	"cmp"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// manual is one place for an SA in the kernel: who asks for it, what is there,
// and the one request under way.
type manual struct {
	id     kernel.SAID
	asked  []*manualWish // the first has it
	have   *kernel.SA    // as far as known; nil: none
	found  bool          // the kernel has one that is not known
	op     operation
	sent   *kernel.SA
	serial uint64

	failure  string
	failures int
	timer    timer
	restored time.Time // when it was last installed again
}

// manualWish is an SA that a unit asks for.
type manualWish struct {
	unit  *unit
	place int
	sa    *kernel.SA
}

// manualSAs are the SAs of a unit: for each pair of hosts in transport mode, and
// for the tunnel otherwise.
func manualSAs(u *unit) ([]*kernel.SA, error) {
	sel := u.sel
	if sel.Direction != kernel.In && sel.Direction != kernel.Out {
		return nil, nil
	}
	var out []*kernel.SA
	for _, w := range u.wishes {
		p := w.policy
		if p.Direction != sel.Direction || p.Action != kernel.Protect {
			continue
		}
		src, dst := p.Selector.Src.Addr(), p.Selector.Dst.Addr()
		if sel.Mode == kernel.Tunnel {
			src, dst = p.Templates[0].Src, p.Templates[0].Dst
		} else if !p.Selector.Src.IsSingleIP() || !p.Selector.Dst.IsSingleIP() {
			return nil, fmt.Errorf("static SAs in transport mode are for pairs of hosts, and %v to %v is none", p.Selector.Src, p.Selector.Dst)
		}
		for i, m := range sel.Manual {
			sa := manualFor(m, sel, src, dst, p.Selector)
			if i > 0 {
				sa.Mode = kernel.Transport
			}
			at := slices.IndexFunc(out, func(o *kernel.SA) bool { return o.SAID == sa.SAID })
			if at < 0 {
				out = append(out, sa)
				continue
			}
			wider, err := cover(out[at].Selector, sa.Selector)
			if err != nil {
				return nil, err
			}
			out[at].Selector = wider
		}
	}
	return out, nil
}

// cover is a selector for the traffic of two: an SA of a tunnel serves all that
// its selector asks for.
func cover(a, b kernel.Selector) (kernel.Selector, error) {
	if a.Src.Addr().Is4() != b.Src.Addr().Is4() {
		return a, errors.New("one static SA carries one address family: write a selector for each")
	}
	if a == b {
		return a, nil
	}
	all := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	if a.Src.Addr().Is4() {
		all = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	a.Src, a.Dst, a.SrcPort, a.DstPort = all, all, kernel.AnyPort, kernel.AnyPort
	return a, nil
}

// manualFor completes an SA of a selector. There is no anti-replay service with
// manual keys: the counter would have to outlive restarts (RFC 4303 §3.3.3).
func manualFor(sa kernel.SA, sel *Selector, src, dst netip.Addr, traffic kernel.Selector) *kernel.SA {
	sa.Src, sa.Dst, sa.Selector = src, dst, traffic
	sa.Direction, sa.Mode, sa.ReqID = sel.Direction, sel.Mode, sel.ReqID
	if sel.Direction == kernel.In {
		sa.Set = sa.Mark // packets come from the network without it, and their policy asks for it
	}
	return &sa
}

// putManual replaces the SAs that a unit asks for; settleManual has the kernel
// follow.
func (m *Manager) putManual(u *unit) {
	for _, x := range u.manual {
		x.asked = slices.DeleteFunc(x.asked, func(w *manualWish) bool { return w.unit == u })
		m.manualTouched[x] = struct{}{}
	}
	u.manual = nil
	if len(u.sel.Manual) == 0 {
		return
	}
	sas, err := manualSAs(u)
	if err != nil {
		u.why = err.Error()
	}
	for i, sa := range sas {
		x := m.manual[sa.SAID]
		if x == nil {
			x = &manual{id: sa.SAID}
			x.timer.Of = x
			m.manual[sa.SAID] = x
		}
		x.asked = append(x.asked, &manualWish{u, i, sa})
		slices.SortFunc(x.asked, func(a, b *manualWish) int {
			return cmp.Or(cmp.Compare(a.unit.index, b.unit.index), cmp.Compare(a.unit.base, b.unit.base), cmp.Compare(a.place, b.place))
		})
		if first := x.asked[0].unit; first != u && u.why == "" {
			u.why = fmt.Sprintf("the static SA %v is that of selector %s (%s), which comes first: give this one an spi of its own",
				sa.SAID, first.sel.Name, first.sel.Where)
		}
		u.manual = append(u.manual, x)
		m.manualTouched[x] = struct{}{}
	}
}

// forgetManual takes all wishes back: the plan is made anew.
func (m *Manager) forgetManual() {
	for _, x := range m.manual {
		x.asked = nil
		m.manualTouched[x] = struct{}{}
	}
}

// settleManual has the kernel follow what units ask for.
func (m *Manager) settleManual(now time.Time, out *Outbox) {
	touched := sortedManual(m.manualTouched)
	clear(m.manualTouched)
	for _, x := range touched {
		m.syncManual(now, x, out)
	}
}

// retryManual tries again what the kernel has refused: settings are others.
func (m *Manager) retryManual(now time.Time, out *Outbox) {
	for _, x := range m.manualInOrder() {
		if x.failure != "" {
			m.timers.Stop(&x.timer)
			x.failures = 0
			m.syncManual(now, x, out)
		}
	}
}

// wanted is the SA that the kernel is to have; nil: none.
func (x *manual) wanted() *kernel.SA {
	if len(x.asked) == 0 {
		return nil
	}
	return x.asked[0].sa
}

// syncManual sends the request that brings the kernel nearer to what is wanted.
// A key is never changed: its SA goes, and another one comes.
func (m *Manager) syncManual(now time.Time, x *manual, out *Outbox) {
	want := x.wanted()
	switch {
	case x.op != idle || x.timer.Armed():
	case want == nil && x.have == nil && !x.found:
		delete(m.manual, x.id)
	case x.found || x.have != nil && (want == nil || !sameSA(x.have, want)):
		m.requestManual(x, deleting, x.have, kernel.DeleteSA{ID: x.id}, out)
	case x.have == nil:
		m.requestManual(x, adding, want, kernel.AddSA{SA: *want}, out)
	default:
		x.failure, x.failures = "", 0
	}
}

func (m *Manager) requestManual(x *manual, op operation, sa *kernel.SA, k kernel.Op, out *Outbox) {
	m.serial++
	x.op, x.sent, x.serial = op, sa, m.serial
	m.manualInFlight[m.serial] = x
	m.submit(m.serial, k, out)
}

// manualResult takes the kernel's answer.
func (m *Manager) manualResult(now time.Time, x *manual, err error, out *Outbox) {
	delete(m.manualInFlight, x.serial)
	op := x.op
	x.op = idle
	switch {
	case op == deleting && (err == nil || errors.Is(err, kernel.ErrNotFound)):
		x.have, x.found = nil, false
	case op == adding && err == nil:
		x.have, x.failure, x.failures = x.sent, "", 0
	case op == adding && errors.Is(err, kernel.ErrExists) && x.failures == 0:
		x.found = true // left by an earlier run, or made by another program
		x.failures++
		out.trace(trace.InternalWarn, ReasonManualTakenOver, nil, "the kernel has an SA %v already: it is replaced", x.id)
	case x.wanted() == nil && x.failures >= deleteTries:
		x.have, x.found = nil, false
		out.trace(trace.InternalErr, ReasonManualFailed, nil, "the kernel does not remove the static SA %v, which is left behind: %v", x.id, err)
	default:
		m.manualFailed(now, x, err, out)
	}
	m.syncManual(now, x, out)
}

// manualFailed has a request tried again.
func (m *Manager) manualFailed(now time.Time, x *manual, err error, out *Outbox) {
	x.failures++
	x.failure = err.Error()
	again, pause := "not tried again before the configuration changes", never
	if !errors.Is(err, kernel.ErrUnsupported) {
		pause = m.backoff(x.failures, retryFirst, retryLimit)
		again = "next try in " + pause.Round(time.Millisecond).String()
	}
	m.timers.Set(&x.timer, now.Add(pause))
	if w := x.wanted(); w != nil {
		sel := x.asked[0].unit.sel
		out.trace(trace.InternalErr, ReasonManualFailed, sel.who("sa", x.id.String(), "error", x.failure),
			"selector %s (%s): the kernel refuses the static SA %v: %v; its traffic is blocked, %s", sel.Name, sel.Where, x.id, err, again)
	}
}

// never is a time that does not come.
const never = 100 * 365 * 24 * time.Hour

// ring is the next try.
func (x *manual) ring(m *Manager, now time.Time, out *Outbox) { m.syncManual(now, x, out) }

// manualGone puts an SA back that somebody removed, once a second at most.
func (m *Manager) manualGone(now time.Time, x *manual, out *Outbox) {
	if x.have == nil || x.op == deleting {
		return
	}
	x.have = nil
	out.trace(trace.InternalWarn, ReasonManualLost, nil, "somebody removed the static SA %v; it is installed again", x.id)
	if wait := reinstallGap - now.Sub(x.restored); wait > 0 && !x.restored.IsZero() {
		m.timers.Set(&x.timer, now.Add(wait))
		x.restored = now.Add(wait)
		return
	}
	x.restored = now
	m.syncManual(now, x, out)
}

// manualFlushed does so for all of a protocol; 0 is every one.
func (m *Manager) manualFlushed(now time.Time, proto kernel.Protocol, out *Outbox) {
	for _, x := range m.manualInOrder() {
		if proto == 0 || proto == x.id.Proto {
			m.manualGone(now, x, out)
		}
	}
}

func (m *Manager) manualInOrder() []*manual {
	all := make(map[*manual]struct{}, len(m.manual))
	for _, x := range m.manual {
		all[x] = struct{}{}
	}
	return sortedManual(all)
}

func sortedManual(set map[*manual]struct{}) []*manual {
	list := slices.Collect(maps.Keys(set))
	slices.SortFunc(list, func(a, b *manual) int {
		return cmp.Or(a.id.Dst.Compare(b.id.Dst), cmp.Compare(a.id.Proto, b.id.Proto), cmp.Compare(a.id.SPI, b.id.SPI))
	})
	return list
}

// sameSA compares what SAs are installed with, keys in constant time.
func sameSA(a, b *kernel.SA) bool {
	x, y := *a, *b
	keys := subtle.ConstantTimeCompare(a.EncrKey, b.EncrKey) & subtle.ConstantTimeCompare(a.IntegKey, b.IntegKey)
	x.EncrKey, x.IntegKey, y.EncrKey, y.IntegKey = nil, nil, nil, nil
	return keys == 1 && x.SAID == y.SAID && x.Src == y.Src && x.Direction == y.Direction && x.Mode == y.Mode &&
		x.ReqID == y.ReqID && x.Selector == y.Selector && x.Encr == y.Encr && x.Integ == y.Integ && x.Comp == y.Comp && x.Binding == y.Binding
}

// manualStates are what keeps a selector's static SAs from protecting its traffic,
// for the states of its policies.
func (m *Manager) manualStates() map[*Selector]string {
	out := make(map[*Selector]string)
	for _, s := range m.manual {
		if len(s.asked) == 0 {
			continue
		}
		sel := s.asked[0].unit.sel
		switch {
		case s.failure != "":
			out[sel] = "failed: static SA " + s.id.String() + ": " + s.failure
		case (s.have == nil || s.op != idle) && out[sel] == "":
			out[sel] = "pending"
		}
	}
	return out
}

// ManualStatus is one SA with keys of the configuration.
type ManualStatus struct {
	Selector  string
	ID        kernel.SAID
	Src       netip.Addr
	Direction kernel.Direction
	Mode      kernel.Mode
	ReqID     uint32
	State     string // "installed", "pending", "leaving" or "failed: …"
}

// ManualSAs lists them.
func (m *Manager) ManualSAs() []ManualStatus {
	var out []ManualStatus
	for _, x := range m.manualInOrder() {
		s := ManualStatus{ID: x.id, State: "pending"}
		sa := x.wanted()
		switch {
		case sa == nil:
			s.State = "leaving"
			sa = x.have
		case x.failure != "":
			s.State = "failed: " + x.failure
		case x.op == idle && x.have != nil && sameSA(x.have, sa):
			s.State = "installed"
		}
		if len(x.asked) > 0 {
			s.Selector = x.asked[0].unit.sel.Name
		}
		if sa != nil {
			s.Src, s.Direction, s.Mode, s.ReqID = sa.Src, sa.Direction, sa.Mode, sa.ReqID
		}
		out = append(out, s)
	}
	return out
}
