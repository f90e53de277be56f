package resolver

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"racoon2/kernel/trace"
)

// watch is one name or wildcard that somebody wants followed.
type watch struct {
	name  string // canonical; a wildcard with its "*."
	gated bool
	keep  bool
}

func (w *watch) wildcard() bool { return strings.HasPrefix(w.name, "*.") }

// watchSet is what one set watches, by canonical name.
type watchSet map[string]*watch

// watch replaces a set, and follows names from now on or no longer.
func (r *Resolver) watch(now time.Time, in Watch, out *Outbox) {
	set := make(watchSet, len(in.Names))
	for _, written := range in.Names {
		canonical, err := Canonical(written)
		if err != nil {
			out.trace(trace.InternalWarn, ReasonNameBad, []string{"name", clip(written)}, "the name is not watched: %v", err)
			continue
		}
		set[canonical] = &watch{name: canonical, gated: in.Gated, keep: in.Keep}
	}
	r.sets[in.Set] = set
	if len(set) == 0 {
		delete(r.sets, in.Set)
	}
	if r.mergeSets() {
		// Answers in the cache have not met the gate.
		r.cache.clear()
	}
	r.reviewNames(now, out)
}

// mergeSets makes the tables of all sets. It says whether something is watched,
// or gated, that was not.
func (r *Resolver) mergeSets() (more bool) {
	watches, wildcards := make(map[string]*watch), make(map[string]*watch)
	for _, set := range r.sets {
		for canonical, w := range set {
			table, key := watches, canonical
			if w.wildcard() {
				table, key = wildcards, canonical[2:]
			}
			if known := table[key]; known == nil {
				table[key] = &watch{name: canonical, gated: w.gated, keep: w.keep}
			} else {
				known.gated = known.gated || w.gated
				known.keep = known.keep || w.keep
			}
		}
	}
	added := func(now, before map[string]*watch) bool {
		for key, w := range now {
			if old := before[key]; old == nil || w.gated && !old.gated {
				return true
			}
		}
		return false
	}
	more = added(watches, r.watches) || added(wildcards, r.wildcards)
	r.watches, r.wildcards = watches, wildcards
	return more
}

// watchesOf are the watches that a name falls under: its own, and the wildcards
// above it.
func (r *Resolver) watchesOf(canonical string) []*watch {
	var out []*watch
	if w := r.watches[canonical]; w != nil {
		out = append(out, w)
	}
	if len(r.wildcards) == 0 {
		return out
	}
	for zone := parent(canonical); zone != ""; zone = parent(zone) {
		if w := r.wildcards[zone]; w != nil {
			out = append(out, w)
		}
	}
	return out
}

// reviewNames fits the names that are followed to the watches.
func (r *Resolver) reviewNames(now time.Time, out *Outbox) {
	for _, n := range r.sortedNames() {
		watches := r.watchesOf(n.name)
		if len(watches) == 0 {
			r.forget(n, out)
			continue
		}
		own, gated := n.own, n.gated
		same := slices.EqualFunc(n.watches, watches, func(a, b *watch) bool { return a.name == b.name })
		n.watchedBy(watches)
		switch {
		case own && !n.own:
			r.brought++
		case !own && n.own:
			r.brought--
		}
		if gated && !n.gated {
			r.release(n, ^uint64(0), out)
		}
		if (!same || n.gated && !gated) && len(n.addrs) > 0 {
			for _, a := range n.addrs { // somebody else hears of them, too
				a.added = r.generation + 1
			}
			r.changed(n, nil, out)
		}
	}
	for _, canonical := range sortedKeys(r.watches) {
		if r.names[canonical] == nil {
			n := r.newName(canonical, r.watchesOf(canonical))
			if !r.fromFiles(n) {
				r.refreshBoth(now, n, out)
			}
		}
	}
	r.followHosts(now, out)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (r *Resolver) sortedNames() []*name {
	names := make([]*name, 0, len(r.names))
	for _, n := range r.names {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b *name) int { return cmp.Compare(a.name, b.name) })
	return names
}

// ---- the hosts file ----

// hostTable is the hosts file by name and by address.
type hostTable struct {
	byName map[string][]netip.Addr
	byAddr map[netip.Addr][]string
}

// maxNamesOfHost bounds the names of one address. Hosts files that keep
// advertisements away have 100,000 of 0.0.0.0.
const maxNamesOfHost = 128

// setHosts takes a hosts file.
func (r *Resolver) setHosts(now time.Time, entries []HostEntry, out *Outbox) {
	t := hostTable{byName: make(map[string][]netip.Addr), byAddr: make(map[netip.Addr][]string)}
	for _, e := range entries {
		for _, n := range e.Names {
			if !slices.Contains(t.byName[n], e.Addr) && len(t.byName[n]) < maxAddresses {
				t.byName[n] = append(t.byName[n], e.Addr)
			}
			if len(t.byAddr[e.Addr]) < maxNamesOfHost && !slices.Contains(t.byAddr[e.Addr], n) {
				t.byAddr[e.Addr] = append(t.byAddr[e.Addr], n)
			}
		}
	}
	r.hosts = t
	r.cache.clear()
	r.followHosts(now, out)
}

// fromFiles says whether a name's addresses are those of the hosts file.
func (r *Resolver) fromFiles(n *name) bool {
	_, ok := r.hosts.byName[n.name]
	return ok && r.before(Files, DNS)
}

// followHosts fits the names to the hosts file and the order of look-ups.
func (r *Resolver) followHosts(now time.Time, out *Outbox) {
	if len(r.wildcards) > 0 && r.before(Files, DNS) {
		for _, canonical := range sortedKeys(r.hosts.byName) {
			if r.names[canonical] != nil || r.brought >= r.s.MaxNames {
				continue
			}
			if watches := r.watchesOf(canonical); len(watches) > 0 {
				r.newName(canonical, watches)
			}
		}
	}
	for _, n := range r.sortedNames() {
		files := r.fromFiles(n)
		switch {
		case files:
			n.files = true
			n.families = [2]family{}
			for _, kind := range []uint16{TypeA, TypeAAAA} {
				r.update(now, n, kind, ofFamily(r.hosts.byName[n.name], kind), time.Time{}, out)
			}
			r.plan(n)
		case n.files:
			n.files = false
			r.refreshBoth(now, n, out)
		}
	}
}

// hostsFallback is the hosts file's answer where it comes behind DNS; nil when
// there is none.
func (r *Resolver) hostsFallback(q Question) *entry {
	if !r.before(DNS, Files) || !r.looks(Files) {
		return nil
	}
	return r.hostsEntry(q)
}
