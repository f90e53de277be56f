package ikev2

import (
	"racoon2/ikev2/message"
	"racoon2/kernel/trace"
)

// What a responder's narrowing leaves over (RFC 7296 §2.9): ADDITIONAL_TS_POSSIBLE
// says that the rest is to be had in other SAs.

// otherFits says that the choice of fit i leaves something out that was asked for and
// that another fit would carry. A peer that rekeys keeps to what it had.
func (sa *ikeSA) otherFits(fits []childAnswer, i int, f childAnswer, tsi, tsr []message.TrafficSelector) bool {
	if coversAll(f.tsi, tsi) && coversAll(f.tsr, tsr) {
		return false
	}
	if f.conf.PerPair {
		return true // for other pairs
	}
	for j, other := range fits {
		if j != i && !other.traffic.within(f.traffic) {
			return true
		}
	}
	return false
}

// askForMore takes a responder's word that other traffic of the request is to be had
// too. Packets ask for theirs by themselves; where none asked, what the answer did not
// touch is asked for at once.
func (n *negotiation) askForMore(sa *ikeSA, m *received) {
	if m.notification(message.ADDITIONAL_TS_POSSIBLE) == nil || n.replace != nil {
		return
	}
	c := n.child
	sa.e.trace(trace.Info, reasonNarrowed, "the peer narrows the traffic of child "+c.conf.Name+" and would carry more in other child SAs", c.attrs()...)
	if n.want.packet != nil {
		return
	}
	rest, ok := n.sent.without(c.traffic)
	if !ok {
		return
	}
	next := &childTask{negotiation: negotiation{want: want{child: c.conf, only: &rest}, reported: true}}
	sa.x.queue = append(sa.x.queue, next)
}

// without is the part of a set that has nothing to do with another one, so that
// asking for it comes to an end; false when there is none.
func (s trafficSet) without(granted trafficSet) (trafficSet, bool) {
	rest := trafficSet{untouched(s.local, granted.local), untouched(s.remote, granted.remote)}
	switch {
	case len(rest.remote) > 0:
		rest.local = s.local
	case len(rest.local) > 0:
		rest.remote = s.remote
	default:
		return trafficSet{}, false
	}
	return rest, true
}

// untouched are the selectors that none of others meets.
func untouched(list, others []message.TrafficSelector) []message.TrafficSelector {
	var out []message.TrafficSelector
	for _, t := range list {
		meets := false
		for _, o := range others {
			if _, ok := intersect(t, o); ok {
				meets = true
			}
		}
		if !meets {
			out = append(out, t)
		}
	}
	return out
}
