package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// names are the host names that selectors hold and the addresses that the
// resolver has found for them.
type names struct {
	known map[string]*name           // by name
	under map[string]map[string]bool // names by what watches them: themselves, or a wildcard
	used  map[string]int             // how many sides of selectors hold a name or a wildcard
	wait  []standing                 // changes that the SPD does not yet stand for

	planned time.Time // when a change of a name was planned last
	timer   timer     // the next plan, for the changes meanwhile
}

// Where there are many selectors, the changes of names within namesGap share a plan.
const (
	namesMany = 256
	namesGap  = 50 * time.Millisecond
)

// name is one host name as the resolver has told of it last.
type name struct {
	watches   []string
	addresses []netip.Addr
	left      []netip.Addr // traffic to them is discarded
}

// standing is one change that the resolver waits for.
type standing struct {
	name       string
	generation uint64
}

func newNames() names {
	return names{known: make(map[string]*name), under: make(map[string]map[string]bool), used: make(map[string]int),
		timer: timer{index: -1, names: true}}
}

// use notes which names a configuration's selectors hold.
func (n *names) use(s *Settings) {
	clear(n.used)
	for _, sel := range s.Selectors {
		for _, side := range [][]Address{sel.Src, sel.Dst} {
			for _, a := range side {
				if a.Name != "" {
					n.used[a.Name]++
				}
			}
		}
	}
}

// put takes a name's new addresses. It reports whether a selector holds it.
func (n *names) put(in Names) (used bool) {
	if old := n.known[in.Name]; old != nil {
		for _, w := range old.watches {
			used = used || n.used[w] > 0
			delete(n.under[w], in.Name)
			if len(n.under[w]) == 0 {
				delete(n.under, w)
			}
		}
		delete(n.known, in.Name)
	}
	if len(in.Watches) == 0 || len(in.Addresses)+len(in.Left) == 0 {
		return used
	}
	n.known[in.Name] = &name{
		watches: slices.Clone(in.Watches), addresses: slices.Clone(in.Addresses), left: slices.Clone(in.Left),
	}
	for _, w := range in.Watches {
		used = used || n.used[w] > 0
		if n.under[w] == nil {
			n.under[w] = make(map[string]bool)
		}
		n.under[w][in.Name] = true
	}
	return used
}

// expand lists the addresses of a name, or of all names below a wildcard, and
// apart from them those that have left.
func (n *names) expand(watch string) (present, left []netip.Prefix) {
	if n == nil {
		return nil, nil
	}
	members := make([]string, 0, len(n.under[watch]))
	for member := range n.under[watch] {
		members = append(members, member)
	}
	slices.Sort(members)
	for _, member := range members {
		known := n.known[member]
		present = append(present, hosts(known.addresses)...)
		left = append(left, hosts(known.left)...)
	}
	return present, left
}

// hosts makes prefixes that stand for one address each.
func hosts(addrs []netip.Addr) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(addrs))
	for _, a := range addrs {
		if a = a.Unmap().WithZone(""); a.IsValid() {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return out
}

// holds tells whether a side of the selector is a name that is watched so.
func (sel *Selector) holds(watches []string) bool {
	held := func(a Address) bool { return a.Name != "" && slices.Contains(watches, a.Name) }
	return slices.ContainsFunc(sel.Src, held) || slices.ContainsFunc(sel.Dst, held)
}

// named takes a change of a name. The resolver hears of it when the SPD stands.
func (m *Manager) named(now time.Time, in Names, out *Outbox) {
	if m.closing {
		return
	}
	used := m.names.put(in)
	m.names.wait = slices.DeleteFunc(m.names.wait, func(s standing) bool { return s.name == in.Name })
	m.names.wait = append(m.names.wait, standing{in.Name, in.Generation})
	if used && m.started {
		out.trace(trace.Debug, "", []string{"name", in.Name}, "%s has %d addresses now, %d have left", in.Name, len(in.Addresses), len(in.Left))
		m.planNames(now, out)
	}
}

// planNames plans for the names that have changed, now or together with others
// soon.
func (m *Manager) planNames(now time.Time, out *Outbox) {
	next := m.names.planned.Add(namesGap)
	if len(m.settings.Selectors) > namesMany && now.Before(next) {
		m.timers.set(&m.names.timer, next)
		return
	}
	m.names.planned = now
	m.replan(now, out)
}

// tellStanding tells the resolver of the changes that the SPD stands for: the
// kernel has answered for everything, and has refused nothing of theirs.
func (m *Manager) tellStanding(out *Outbox) {
	if len(m.names.wait) == 0 || m.installs > 0 || !m.started || m.names.timer.index >= 0 {
		return
	}
	m.names.wait = slices.DeleteFunc(m.names.wait, func(s standing) bool {
		if known := m.names.known[s.name]; known != nil {
			for e := range m.failing {
				if e.sel.holds(known.watches) {
					return false
				}
			}
		}
		out.Effects = append(out.Effects, PolicyStands{Name: s.name, Generation: s.generation})
		return true
	})
}

// unresolved says which names of a side have no address, for explanations.
func unresolved(side []Address) error {
	var words []string
	for _, a := range side {
		if a.Name != "" {
			words = append(words, strings.TrimSuffix(a.Name, "."))
		}
	}
	if len(words) == 0 {
		return nil
	}
	return fmt.Errorf("no address of %s is known yet: nothing is installed before it is resolved", shorten(words))
}

// leavingAction is what becomes of traffic to an address that a name has left:
// what would be protected is discarded rather than let go in clear.
func leavingAction(sel *Selector) (action kernel.Action, ok bool) {
	if sel.Action == kernel.Bypass || sel.Action == kernel.Protect && sel.Level == kernel.Use {
		return 0, false
	}
	return kernel.Discard, true
}
