package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/trace"
)

const (
	// maxDynamic bounds the dynamic policies.
	maxDynamic = 65536
	// maxPairs bounds those of one child, whose peer may choose ranges of addresses
	// that take many prefixes.
	maxPairs = 256
)

// What AddPolicy and DeletePolicy can find wrong.
var (
	ErrNoSelector    = errors.New("there is no such selector")
	ErrNotProtected  = errors.New("the selector's action is not auto_ipsec")
	ErrNoReverse     = errors.New("the selector has no reverse")
	ErrNoDynamic     = errors.New("there is no such dynamic policy")
	ErrManyDynamic   = errors.New("there are too many dynamic policies")
	errDynamicFamily = errors.New("the addresses are of different families")
)

// Dynamic is a pair of policies beside those of the configuration: the selector
// gives ports, protocol, level and reqid, the rest is said here.
type Dynamic struct {
	Selector string
	Mode     kernel.Mode
	Src, Dst netip.Prefix // of the selector's direction; the reverse has them exchanged
	// SASrc and SADst are the ends of a tunnel in the selector's direction; zero
	// takes the configured ones.
	SASrc, SADst netip.Addr
	Lifetime     time.Duration // 0: until it is deleted, or the selector goes
}

// dynamicKey is what makes a dynamic policy one and the same.
type dynamicKey struct {
	selector string
	src, dst netip.Prefix
}

// dynamic is one policy of a pair.
type dynamic struct {
	Dynamic
	sel   *Selector // the selector with the addresses in place
	unit  *unit
	other *dynamic // the reverse; nil when that has gone before

	expires time.Time // zero: never
	timer   timer
}

// dynamics are the dynamic policies.
type dynamics struct {
	by     map[dynamicKey]*dynamic
	of     map[string]map[*dynamic]struct{} // by selector
	serial int                              // of the last one
}

func newDynamics() dynamics {
	return dynamics{by: make(map[dynamicKey]*dynamic), of: make(map[string]map[*dynamic]struct{})}
}

// Pair finds a selector and its reverse: the one that shares its child, or as
// the original has it the first one of the same remote whose src and dst are
// exchanged.
func (m *Manager) Pair(name string) (sel, reverse *Selector, err error) {
	sel = m.selectors[name]
	switch {
	case sel == nil:
		return nil, nil, fmt.Errorf("selector %s: %w", name, ErrNoSelector)
	case sel.Action != kernel.Protect:
		return nil, nil, fmt.Errorf("selector %s: %w", name, ErrNotProtected)
	}
	other := func(o *Selector) bool {
		return o.Direction != sel.Direction && o.Action == kernel.Protect && o.Remote == sel.Remote
	}
	for _, o := range m.ofChild[sel.Child] {
		if sel.Child != "" && other(o) {
			return sel, o, nil
		}
	}
	for _, o := range m.ofRemote[sel.Remote] {
		if other(o) && samePlaces(o.Src, sel.Dst) && samePlaces(o.Dst, sel.Src) {
			reverse = o
			break
		}
	}
	if reverse == nil {
		return nil, nil, fmt.Errorf("selector %s: %w", name, ErrNoReverse)
	}
	return sel, reverse, nil
}

// samePlaces compares two sides as the original does: macros equal nothing.
func samePlaces(a, b []Address) bool {
	return slices.EqualFunc(a, b, func(x, y Address) bool { return x == y && x.Macro == "" })
}

// CheckDynamic tells whether AddPolicy would be carried out, and which two
// selectors it is about. It changes nothing.
func (m *Manager) CheckDynamic(d Dynamic) (sel, reverse string, err error) {
	s, r, err := m.Pair(d.Selector)
	if err != nil {
		return "", "", err
	}
	if d.Src.Addr().Is4() != d.Dst.Addr().Is4() {
		return "", "", errDynamicFamily
	}
	if len(m.dynamic.by)+2 > maxDynamic {
		return "", "", ErrManyDynamic
	}
	for _, half := range []struct {
		d    Dynamic
		base *Selector
	}{{d, s}, {d.reversed(r.Name), r}} {
		if half.d.Mode != kernel.Tunnel {
			continue
		}
		_, err := m.ends(&unit{sel: half.d.on(half.base), phantom: true}, nil)
		if _, later := err.(*unknownEnd); err != nil && !later {
			return "", "", fmt.Errorf("selector %s: %w", half.base.Name, err)
		}
	}
	return s.Name, r.Name, nil
}

// HasDynamic tells whether DeletePolicy would find something.
func (m *Manager) HasDynamic(d DeletePolicy) error {
	if len(m.dynamic.find(d)) > 0 {
		return nil
	}
	return fmt.Errorf("selector %s: %w", d.Selector, ErrNoDynamic)
}

// reversed is the same traffic in the other direction.
func (d Dynamic) reversed(selector string) Dynamic {
	d.Selector = selector
	d.Src, d.Dst = d.Dst, d.Src
	d.SASrc, d.SADst = d.SADst, d.SASrc
	return d
}

// on puts the addresses into a copy of the selector.
func (d Dynamic) on(base *Selector) *Selector {
	sel := *base
	sel.Install, sel.dynamic, sel.Mode = true, true, d.Mode
	sel.Src, sel.Dst = []Address{{Prefix: d.Src}}, []Address{{Prefix: d.Dst}}
	my, peer := d.SASrc, d.SADst
	if base.Direction != kernel.Out {
		my, peer = peer, my
	}
	if my.IsValid() {
		sel.MyEnd = End{Addr: my}
	}
	if peer.IsValid() {
		sel.PeerEnd = []End{{Addr: peer}}
	}
	return &sel
}

// addDynamic puts a pair in, or in the place of the same one.
func (m *Manager) addDynamic(now time.Time, d Dynamic, out *Outbox) {
	if m.closing || !m.started {
		return
	}
	name, reverse, err := m.CheckDynamic(d)
	if err != nil {
		out.trace(trace.InternalWarn, ReasonDynamicRefused, []string{"selector", d.Selector}, "a policy cannot be added: %v", err)
		return
	}
	one, changed := m.putDynamic(now, d)
	two, also := m.putDynamic(now, d.reversed(reverse))
	one.other, two.other = two, one
	if changed || also {
		out.trace(trace.Info, "", []string{"selector", name, "src", d.Src.String(), "dst", d.Dst.String()},
			"policy added for selectors %s and %s", name, reverse)
		m.replan(now, out, one.unit, two.unit)
	}
}

// putDynamic adds one policy. It reports whether the plan changes by it.
func (m *Manager) putDynamic(now time.Time, d Dynamic) (have *dynamic, changed bool) {
	d.Src, d.Dst = plain(d.Src), plain(d.Dst)
	k := dynamicKey{d.Selector, d.Src, d.Dst}
	have = m.dynamic.by[k]
	if have == nil {
		m.dynamic.serial++
		have = &dynamic{}
		have.timer.Of = have
		have.unit = &unit{base: m.dynamic.serial * unitPlaces, dynamic: have}
		m.dynamic.by[k] = have
		put(m.dynamic.of, d.Selector, have)
	}
	changed = have.sel == nil || have.Mode != d.Mode || have.SASrc != d.SASrc || have.SADst != d.SADst
	have.Dynamic, have.expires = d, time.Time{}
	m.timers.Stop(&have.timer)
	if d.Lifetime > 0 {
		have.expires = now.Add(d.Lifetime)
		m.timers.Set(&have.timer, have.expires)
	}
	if changed {
		if have.sel != nil {
			m.units.remove(have.unit)
		}
		m.base(have)
		m.units.add(have.unit)
	}
	return have, changed
}

// base makes a dynamic policy's selector from the one that it belongs to.
func (m *Manager) base(d *dynamic) {
	d.sel = d.Dynamic.on(m.selectors[d.Selector])
	d.unit.sel, d.unit.index = d.sel, m.indexes[d.Selector]
}

// find lists the dynamic policies that are meant.
func (ds *dynamics) find(d DeletePolicy) []*dynamic {
	if d.Src.IsValid() && d.Dst.IsValid() {
		if have := ds.by[dynamicKey{d.Selector, plain(d.Src), plain(d.Dst)}]; have != nil {
			return []*dynamic{have}
		}
		return nil
	}
	var out []*dynamic
	for have := range ds.of[d.Selector] {
		if (!d.Src.IsValid() || plain(d.Src) == have.Src) && (!d.Dst.IsValid() || plain(d.Dst) == have.Dst) {
			out = append(out, have)
		}
	}
	return out
}

// deleteDynamic takes pairs out.
func (m *Manager) deleteDynamic(now time.Time, d DeletePolicy, out *Outbox) {
	if m.closing {
		return
	}
	var gone []*unit
	for _, have := range m.dynamic.find(d) {
		gone = m.drop(have, m.drop(have.other, gone))
	}
	m.retire(now, out, gone...)
}

// drop forgets a dynamic policy, and appends its unit, which is still planned.
func (m *Manager) drop(d *dynamic, to []*unit) []*unit {
	if d == nil {
		return to
	}
	k := dynamicKey{d.Selector, d.Src, d.Dst}
	if m.dynamic.by[k] != d {
		return to // it has gone with its reverse
	}
	m.timers.Stop(&d.timer)
	delete(m.dynamic.by, k)
	drop(m.dynamic.of, d.Selector, d)
	if d.other != nil {
		d.other.other = nil
	}
	return append(to, d.unit)
}

// ring is the end of a lifetime: that of the reverse, which is the same, with it.
func (d *dynamic) ring(m *Manager, now time.Time, out *Outbox) {
	var gone []*unit
	if o := d.other; o != nil && !o.expires.IsZero() && !now.Before(o.expires) {
		gone = m.drop(o, gone)
	}
	m.retire(now, out, m.drop(d, gone)...)
}

// rebaseDynamic fits the dynamic policies to new settings: those whose selector
// is gone, or protects no more, go with it. The plan is made anew behind it.
func (m *Manager) rebaseDynamic() {
	for _, d := range m.dynamic.by {
		if base := m.selectors[d.Selector]; base == nil || base.Action != kernel.Protect {
			m.drop(d, nil)
			continue
		}
		m.base(d)
	}
}

// roadWarrior makes the policies of a child whose peer was not known before it
// came (peers_sa_ipaddr IP_RW). They last as long as the child's SAs; each
// rekeying prolongs them.
func (m *Manager) roadWarrior(now time.Time, up ChildUp, out *Outbox) {
	sel := m.selectors[up.Child]
	if sel == nil || sel.Direction != kernel.Out || sel.Action != kernel.Protect || !sel.Install ||
		sel.Mode != kernel.Tunnel || sel.knowsPeer() || !isEnd(up.Remote) {
		return
	}
	if n := len(up.TSLocal) * len(up.TSRemote); n > maxPairs {
		out.trace(trace.InternalWarn, ReasonDynamicRefused, []string{"selector", sel.Name, "peer", up.Remote.String()},
			"no policies are added for a child: its traffic selectors take %d pairs of prefixes, %d at most are made", n, maxPairs)
		return
	}
	for _, src := range up.TSLocal {
		for _, dst := range up.TSRemote {
			if src.Addr().Is4() == dst.Addr().Is4() {
				m.addDynamic(now, Dynamic{
					Selector: sel.Name, Mode: kernel.Tunnel, Src: src, Dst: dst,
					SASrc: up.Local, SADst: up.Remote, Lifetime: up.Lifetime,
				}, out)
			}
		}
	}
}
