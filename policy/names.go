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
	known map[string]*name               // by name
	under map[string]map[string]struct{} // names by what watches them: themselves, or a wildcard
	wait  map[string]*standing           // the newest change of each that has not been told
}

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
	left       int  // entries that do not stand yet
	over       bool // told, or a newer change has come
}

func newNames() names {
	return names{
		known: make(map[string]*name), under: make(map[string]map[string]struct{}), wait: make(map[string]*standing),
	}
}

// put takes a name's new addresses, and returns what has watched it and does now.
func (n *names) put(in Names) (watches []string) {
	if old := n.known[in.Name]; old != nil {
		watches = append(watches, old.watches...)
		for _, w := range old.watches {
			drop(n.under, w, in.Name)
		}
		delete(n.known, in.Name)
	}
	if len(in.Watches) == 0 || len(in.Addresses)+len(in.Left) == 0 {
		return watches
	}
	n.known[in.Name] = &name{
		watches: slices.Clone(in.Watches), addresses: slices.Clone(in.Addresses), left: slices.Clone(in.Left),
	}
	for _, w := range in.Watches {
		put(n.under, w, in.Name)
		if !slices.Contains(watches, w) {
			watches = append(watches, w)
		}
	}
	return watches
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

// of lists the addresses of a name, as ends of tunnels have them.
func (n *names) of(watch string) []netip.Addr {
	present, _ := n.expand(watch)
	out := make([]netip.Addr, len(present))
	for i, p := range present {
		out[i] = p.Addr()
	}
	return out
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

// names lists the names that a selector holds, and those of its tunnel's ends.
func (sel *Selector) names() []string {
	var out []string
	add := func(name string) {
		if name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, side := range [][]Address{sel.Src, sel.Dst} {
		for _, a := range side {
			add(a.Name)
		}
	}
	if sel.Mode == kernel.Tunnel {
		add(sel.MyEnd.Name)
		for _, e := range sel.PeerEnd {
			add(e.Name)
		}
	}
	return out
}

// named takes a change of a name. The resolver hears of it when the SPD stands.
func (m *Manager) named(now time.Time, in Names, out *Outbox) {
	if m.closing {
		return
	}
	watches := m.names.put(in)
	if old := m.names.wait[in.Name]; old != nil {
		old.over = true
	}
	st := &standing{name: in.Name, generation: in.Generation}
	m.names.wait[in.Name] = st
	if !m.started {
		return
	}
	users := m.holders(watches)
	if len(users) > 0 {
		out.trace(trace.Debug, "", []string{"name", in.Name}, "%s has %d addresses now, %d have left", in.Name, len(in.Addresses), len(in.Left))
		for _, u := range users {
			m.leaveAddress(u)
		}
		m.replan(now, out, users...)
		m.reuse(users, out)
	}
	m.await(st, users, out)
}

// holders are the units that hold names which are watched so.
func (m *Manager) holders(watches []string) []*unit {
	sets := make([]map[*unit]struct{}, 0, len(watches))
	for _, w := range watches {
		sets = append(sets, m.units.byWatch[w])
	}
	return inOrderOf(sets...)
}

// await has a change told as soon as the kernel has taken the policies of the
// units that it concerns.
func (m *Manager) await(st *standing, users []*unit, out *Outbox) {
	st.left = 0
	for _, u := range users {
		for _, w := range u.wishes {
			if e := m.entries[w.key]; e != nil && !e.stands() {
				e.waiters = append(e.waiters, st)
				st.left++
			}
		}
	}
	m.tell(st, out)
}

// awaitAll looks anew at all changes that have not been told: settings are others.
func (m *Manager) awaitAll(out *Outbox) {
	for _, e := range m.entries {
		e.waiters = nil
	}
	for _, name := range sortedKeys(m.names.wait) {
		var watches []string
		if known := m.names.known[name]; known != nil {
			watches = known.watches
		}
		m.await(m.names.wait[name], m.holders(watches), out)
	}
}

// stood tells what waits for an entry that it stands, or is not wanted any more.
func (m *Manager) stood(e *entry, out *Outbox) {
	if len(e.waiters) == 0 || !e.stands() {
		return
	}
	waiters := e.waiters
	e.waiters = nil
	for _, st := range waiters {
		st.left--
		m.tell(st, out)
	}
}

// tell tells the resolver of a change that the SPD stands for.
func (m *Manager) tell(st *standing, out *Outbox) {
	if st.left > 0 || st.over || !m.started {
		return
	}
	st.over = true
	delete(m.names.wait, st.name)
	out.Effects = append(out.Effects, PolicyStands{Name: st.name, Generation: st.generation})
}

// stands tells whether traffic is treated as is wanted; a policy that is
// stronger or weaker than it should be does.
func (e *entry) stands() bool {
	return e.want == nil ||
		e.have != nil && e.have.Action == e.want.Action && slices.Equal(e.have.Templates, e.want.Templates)
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

// discardsLeft tells what becomes of traffic to an address that a name has left:
// what would be protected is discarded rather than let go in clear.
func (s *Settings) discardsLeft(sel *Selector) bool {
	return !s.LeftInClear && sel.Action != kernel.Bypass && (sel.Action != kernel.Protect || sel.Level != kernel.Use)
}
