package kink

import (
	"cmp"
	"maps"
	"slices"
)

// transactions are those of this host, in the order of their XIDs.
func (e *Engine) transactions() []*transaction {
	list := make([]*transaction, 0, len(e.outgoing))
	for _, t := range e.outgoing {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b *transaction) int { return cmp.Compare(a.xid, b.xid) })
	return list
}

// Status describes every peer with its SA pairs, by principal.
func (e *Engine) Status() []PeerInfo {
	list := make([]PeerInfo, 0, len(e.peers))
	for _, name := range slices.Sorted(maps.Keys(e.peers)) {
		p := e.peers[name]
		i := PeerInfo{Principal: name, Local: p.local, Address: p.addr, Epoch: p.epoch, Offset: p.offset, EType: p.etype,
			Ticket: p.ticket, LastHeard: p.heard, Transactions: len(e.answersOf[name])}
		if p.remote != nil {
			i.Remote = p.remote.Name
		}
		for _, sa := range e.pairsOf[name] {
			i.Children = append(i.Children, sa.info())
		}
		for _, t := range e.outgoing {
			if t.target.principal == name {
				i.Transactions++
			}
		}
		list = append(list, i)
	}
	return list
}

// Counters are the events by trace reason since the start, and the gauges "peers",
// "transactions" and "child_sas".
func (e *Engine) Counters() map[string]uint64 {
	c := maps.Clone(e.counters)
	up := 0
	for _, sa := range e.pairs {
		if sa.state == pairUp {
			up++
		}
	}
	c["peers"] = uint64(len(e.peers))
	c["transactions"] = uint64(len(e.outgoing) + len(e.incoming))
	c["child_sas"] = uint64(up)
	return c
}
