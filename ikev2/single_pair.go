package ikev2

import (
	"fmt"

	"racoon2/ikev2/message"
	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// An SA for each pair of addresses (RFC 4301 §4.4.1, addresses populated from the
// packet; sa_per_pair in racoon2.conf). The initiator asks for the pair of the packet
// alone. The responder narrows to the pair that the first selectors name; a peer that
// names none is answered SINGLE_PAIR_REQUIRED (RFC 7296 §2.9), and asks again with its
// packet's.

// single says that a set is between two addresses.
func (s trafficSet) single() bool {
	l, r := hull(s.local), hull(s.remote)
	return l.Start == l.End && r.Start == r.End
}

// between is the part of a set between two addresses; false when there is none.
func (s trafficSet) between(local, remote message.TrafficSelector) (trafficSet, bool) {
	if local.Start != local.End || remote.Start != remote.End {
		return trafficSet{}, false
	}
	pair := trafficSet{
		narrow([]message.TrafficSelector{hostTS(local.Start)}, s.local),
		narrow([]message.TrafficSelector{hostTS(remote.Start)}, s.remote),
	}
	return pair, len(pair.local) > 0 && len(pair.remote) > 0
}

// pairOf is what a child may carry between the addresses of a packet; false when its
// policy has nothing there, or there is no packet.
func (c *Child) pairOf(sa *ikeSA, packet *kernel.Selector) (trafficSet, bool) {
	if packet == nil {
		return trafficSet{}, false
	}
	l, r := selectorTS(*packet)
	for _, set := range c.setsFor(sa) {
		if covered := coversAll(set.local, []message.TrafficSelector{l}) && coversAll(set.remote, []message.TrafficSelector{r}); covered {
			return set.between(l, r)
		}
	}
	return trafficSet{}, false
}

// needsPacket says why a child cannot be asked for without a packet ("" is well).
func (c *Child) needsPacket(packet *kernel.Selector) string {
	if !c.PerPair || packet != nil {
		return ""
	}
	for _, s := range c.Outbound {
		if !c.Dynamic && !s.Dst.IsSingleIP() || !s.Src.IsSingleIP() {
			return c.place() + " has SAs for each pair of addresses, and no packet tells which"
		}
	}
	return ""
}

// ownPair narrows what a responder would grant to the pair that the peer's first
// selectors name; false when they name none.
func (f *childAnswer) ownPair(tsi, tsr []message.TrafficSelector) bool {
	if f.traffic.single() {
		return true
	}
	pair, ok := f.traffic.between(tsr[0], tsi[0])
	if ok {
		f.traffic, f.tsi, f.tsr = pair, pair.remote, pair.local
	}
	return ok
}

// ownPairs does that with all that fits; what is left fits still.
func ownPairs(fits []childAnswer, tsi, tsr []message.TrafficSelector) (list []childAnswer, vague *Child) {
	for _, f := range fits {
		if f.conf.PerPair && !f.ownPair(tsi, tsr) {
			vague = f.conf
			continue
		}
		list = append(list, f)
	}
	return list, vague
}

// singlePairRequired refuses a request that names no pair of addresses.
func singlePairRequired(conf *Child, tsi, tsr []message.TrafficSelector) *refusal {
	asked := tsList(tsr) + " to " + tsList(tsi)
	return &refusal{kind: message.SINGLE_PAIR_REQUIRED, reason: reasonSinglePair,
		text:  fmt.Sprintf("traffic selectors: peer asks for %s and names no pair of addresses first; %s has SAs for each pair", asked, conf.place()),
		attrs: []trace.Attr{attr("offered", asked)}}
}

// singlePair asks again for the traffic between the packet's addresses alone, once.
func (t *childTask) singlePair(sa *ikeSA) bool {
	only, ok := t.want.child.pairOf(sa, t.want.packet)
	if !ok || t.want.only != nil || t.replace != nil {
		return false
	}
	sa.e.trace(trace.Info, reasonSinglePair, "the peer wants a single pair of addresses; asking for the packet's", sa.attrs(attr("child", t.want.child.Name))...)
	again := &childTask{negotiation: negotiation{want: t.want}, limit: t.limit}
	again.want.only = &only
	t.drop("it is asked for with a single pair of addresses")
	sa.x.queue = append(sa.x.queue, again)
	sa.taskDone()
	return true
}

// again asks for what a child carries, in its place.
func (c *childSA) again() want {
	w := want{child: c.conf}
	if c.conf.PerPair {
		set := c.traffic
		w.only = &set
	}
	return w
}

// is says that a child is what was asked for.
func (w want) is(c *childSA) bool {
	return w.child == c.conf && (w.only == nil || w.only.equal(c.traffic))
}
