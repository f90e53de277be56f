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

// maxDynamic bounds the dynamic policies.
const maxDynamic = 65536

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
	expires time.Time // zero: never
	sel     *Selector // the selector with the addresses in place; nil when it has gone
}

// dynamics are the dynamic policies in the order of their coming.
type dynamics struct {
	by    map[dynamicKey]*dynamic
	order []*dynamic
	timer timer
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
	for _, other := range m.settings.Selectors {
		if other.Direction == sel.Direction || other.Action != kernel.Protect || other.Remote != sel.Remote {
			continue
		}
		if other.Child != "" && other.Child == sel.Child {
			return sel, other, nil
		}
		if reverse == nil && samePlaces(other.Src, sel.Dst) && samePlaces(other.Dst, sel.Src) {
			reverse = other
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
	if len(m.dynamic.order)+2 > maxDynamic {
		return "", "", ErrManyDynamic
	}
	for _, half := range []struct {
		d    Dynamic
		base *Selector
	}{{d, s}, {d.reversed(r.Name), r}} {
		if _, err := makeTemplates(half.d.on(half.base)); err != nil {
			return "", "", fmt.Errorf("selector %s: %w", half.base.Name, err)
		}
	}
	return s.Name, r.Name, nil
}

// HasDynamic tells whether DeletePolicy would find something.
func (m *Manager) HasDynamic(d DeletePolicy) error {
	if slices.ContainsFunc(m.dynamic.order, func(have *dynamic) bool { return d.matches(have) }) {
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
		sel.MyEnd = my
	}
	if peer.IsValid() {
		sel.PeerEnd = peer
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
	changed := m.putDynamic(now, d)
	changed = m.putDynamic(now, d.reversed(reverse)) || changed
	m.armDynamic()
	if changed {
		out.trace(trace.Info, "", []string{"selector", name, "src", d.Src.String(), "dst", d.Dst.String()},
			"policy added for selectors %s and %s", name, reverse)
		m.replan(now, out)
	}
}

// putDynamic adds one policy. It reports whether the plan changes by it.
func (m *Manager) putDynamic(now time.Time, d Dynamic) (changed bool) {
	d.Src, d.Dst = plain(d.Src), plain(d.Dst)
	k := dynamicKey{d.Selector, d.Src, d.Dst}
	have := m.dynamic.by[k]
	if have == nil {
		have = &dynamic{}
		m.dynamic.by[k] = have
		m.dynamic.order = append(m.dynamic.order, have)
	}
	changed = have.sel == nil || have.Mode != d.Mode || have.SASrc != d.SASrc || have.SADst != d.SADst
	have.Dynamic, have.expires = d, time.Time{}
	if d.Lifetime > 0 {
		have.expires = now.Add(d.Lifetime)
	}
	if changed {
		have.sel = d.on(m.selectors[d.Selector])
	}
	return changed
}

// deleteDynamic takes pairs out.
func (m *Manager) deleteDynamic(now time.Time, d DeletePolicy, out *Outbox) {
	if m.closing || m.HasDynamic(d) != nil {
		return
	}
	back := d
	if _, reverse, err := m.Pair(d.Selector); err == nil {
		back = DeletePolicy{Selector: reverse.Name, Src: d.Dst, Dst: d.Src}
	}
	m.dropDynamic(func(have *dynamic) bool { return d.matches(have) || back.matches(have) })
	m.replan(now, out)
}

// matches tells whether a policy is meant.
func (d DeletePolicy) matches(have *dynamic) bool {
	return have.Selector == d.Selector &&
		(!d.Src.IsValid() || plain(d.Src) == have.Src) && (!d.Dst.IsValid() || plain(d.Dst) == have.Dst)
}

// dropDynamic forgets policies; the next plan takes them out. It reports
// whether there were any.
func (m *Manager) dropDynamic(which func(*dynamic) bool) bool {
	before := len(m.dynamic.order)
	m.dynamic.order = slices.DeleteFunc(m.dynamic.order, func(d *dynamic) bool {
		gone := which(d)
		if gone {
			delete(m.dynamic.by, dynamicKey{d.Selector, d.Src, d.Dst})
		}
		return gone
	})
	m.armDynamic()
	return len(m.dynamic.order) < before
}

// armDynamic sets the timer for the first end of a lifetime.
func (m *Manager) armDynamic() {
	var first time.Time
	for _, d := range m.dynamic.order {
		if !d.expires.IsZero() && (first.IsZero() || d.expires.Before(first)) {
			first = d.expires
		}
	}
	if first.IsZero() {
		m.timers.stop(&m.dynamic.timer)
		return
	}
	m.timers.set(&m.dynamic.timer, first)
}

// expireDynamic takes out what has come to the end of its lifetime.
func (m *Manager) expireDynamic(now time.Time, out *Outbox) {
	if m.dropDynamic(func(d *dynamic) bool { return !d.expires.IsZero() && !now.Before(d.expires) }) {
		m.replan(now, out)
	}
}

// rebaseDynamic fits the dynamic policies to new settings: those whose selector
// is gone, or protects no more, go with it.
func (m *Manager) rebaseDynamic() {
	m.dropDynamic(func(d *dynamic) bool {
		base := m.selectors[d.Selector]
		if base == nil || base.Action != kernel.Protect {
			return true
		}
		d.sel = d.Dynamic.on(base)
		return false
	})
}

// roadWarrior makes the policies of a child whose peer was not known before it
// came (peers_sa_ipaddr IP_RW). They last as long as the child's SAs; each
// rekeying prolongs them.
func (m *Manager) roadWarrior(now time.Time, up ChildUp, out *Outbox) {
	sel := m.selectors[up.Child]
	if sel == nil || sel.Direction != kernel.Out || sel.Action != kernel.Protect || !sel.Install ||
		sel.Mode != kernel.Tunnel || isEnd(sel.PeerEnd) || !isEnd(up.Remote) {
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

// CanInitiate tells whether a selector has a child that Up would ask for.
func (m *Manager) CanInitiate(name string) bool {
	sel := m.selectors[name]
	return sel != nil && sel.Action == kernel.Protect && sel.Child != ""
}
