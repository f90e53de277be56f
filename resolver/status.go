package resolver

import (
	"net/netip"
	"slices"
	"strconv"
	"time"
)

var rcodeNames = [...]string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"}

// String returns the name of the registry "DNS RCODEs".
func (c RCode) String() string {
	if int(c) < len(rcodeNames) {
		return rcodeNames[c]
	}
	return "RCODE" + strconv.Itoa(int(c))
}

// Names are the names of an address: the watched ones that have it, then those
// of the hosts file (spmif's FQDN QUERY, and KINK's principals).
func (r *Resolver) Names(addr netip.Addr) []string {
	addr = addr.Unmap().WithZone("")
	var out []string
	for _, n := range r.byAddr[addr] {
		out = append(out, n.name)
	}
	slices.Sort(out)
	if !r.looks(Files) {
		return out
	}
	for _, n := range r.hosts.byAddr[addr] {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// Addresses are the addresses of a watched name, without those that left; nil
// for a name that is not watched.
func (r *Resolver) Addresses(name string) []netip.Addr {
	canonical, err := Canonical(name)
	if err != nil {
		return nil
	}
	n := r.names[canonical]
	if n == nil {
		return nil
	}
	present, _ := n.lists()
	return present
}

// Watching lists what is watched, wildcards among it, in order (spmif's FQDN
// LIST).
func (r *Resolver) Watching() []string {
	out := sortedKeys(r.watches)
	for _, w := range r.wildcards {
		out = append(out, w.name)
	}
	slices.Sort(out)
	return out
}

// List lists the names that are followed, in order.
func (r *Resolver) List() []NameStatus {
	var out []NameStatus
	for _, n := range r.sortedNames() {
		s := NameStatus{Name: n.name, Generation: n.generation, FromFiles: n.files}
		s.Addresses, s.Left = n.lists()
		s.Stands = n.needs(s.Addresses) == 0
		for _, w := range n.watches {
			s.Watches = append(s.Watches, w.name)
		}
		for _, f := range n.families {
			if !f.expires.IsZero() && (s.Expires.IsZero() || f.expires.Before(s.Expires)) {
				s.Expires = f.expires
			}
		}
		out = append(out, s)
	}
	return out
}

// Stats are the counters of spmif's STAT.
func (r *Resolver) Stats() Stats {
	s := r.stats
	s.CacheAddresses = uint64(len(r.byAddr))
	s.CacheTotal = uint64(len(r.names))
	for _, n := range r.names {
		if len(n.addrs) > 0 {
			s.CacheNames++
		}
	}
	return s
}

// CacheTTL is the range within which TTLs of answers are kept, in seconds;
// what clients get of them has to be brought into it as well.
func (r *Resolver) CacheTTL() (floor, ceiling uint32) {
	return uint32(r.s.TTLFloor / time.Second), uint32(r.s.TTLCeiling / time.Second)
}
