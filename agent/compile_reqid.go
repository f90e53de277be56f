package agent

import (
	"maps"

	"racoon2/config"
)

// firstReqID is where request identifiers are given out from: above what
// setkey and the original leave to operators (IPSEC_MANUAL_REQID_MAX, 0x3fff).
const firstReqID = 0x4000

// reqIDs gives each pair of selectors its request identifier: the configured
// one, the one it had before, or a new one.
type reqIDs struct {
	before map[string]uint32
	given  map[string]uint32 // by outbound selector, or by inbound where there is none
	taken  map[uint32]bool   // configured, had before, or given
	next   uint32
}

func newReqIDs(cfg *config.Config, before map[string]uint32) *reqIDs {
	r := &reqIDs{before: before, given: make(map[string]uint32), taken: make(map[uint32]bool), next: firstReqID}
	for _, s := range cfg.Selectors {
		if s.ReqID != 0 {
			r.taken[s.ReqID] = true
		}
	}
	for id := range maps.Values(before) {
		r.taken[id] = true
	}
	return r
}

// pairOf finds the pair that a selector is half of.
func pairOf(s *config.Selector) config.Pair {
	switch {
	case s.Direction == config.Outbound:
		return config.Pair{Outbound: s, Inbound: s.Reverse}
	case s.Reverse != nil:
		return config.Pair{Outbound: s.Reverse, Inbound: s}
	default:
		return config.Pair{Inbound: s}
	}
}

func (r *reqIDs) of(p config.Pair) uint32 {
	var name string
	var configured uint32
	if p.Inbound != nil {
		name, configured = p.Inbound.Name, p.Inbound.ReqID
	}
	if p.Outbound != nil {
		name = p.Outbound.Name
		if p.Outbound.ReqID != 0 {
			configured = p.Outbound.ReqID
		}
	}
	if id := r.given[name]; id != 0 {
		return id
	}
	id := configured
	if id == 0 {
		id = r.before[name]
	}
	for id == 0 {
		if !r.taken[r.next] {
			id = r.next
		}
		r.next++
	}
	r.taken[id] = true
	r.given[name] = id
	return id
}
