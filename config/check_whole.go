package config

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// The least that a lifetime should be: SAs are replaced at four fifths of it,
// and the last fifth must be long enough for that.
const (
	leastLifetime      = time.Minute
	leastLifetimeBytes = 1 << 20
)

// checkLifetime warns of SAs that would be replaced all the time, or would end
// before their successors stand.
func (r *resolver) checkLifetime(v view, name string) {
	e := v.own.get(name)
	if e == nil {
		return
	}
	if t, ok := e.val.(time.Duration); ok && t > 0 && t < leastLifetime {
		r.warnf("short-lifetime", e.nameItem(), "write 1 min or more",
			"%s leaves %s for the making of a successor, which may come too late", name, t/5)
	}
	if n, ok := e.val.(uint64); ok && n > 0 && n < leastLifetimeBytes {
		r.warnf("short-lifetime", e.nameItem(), "write 1 MB or more",
			"%s of %d octets is used up before a successor can be made", name, n)
	}
}

// checkOutliving points out children that live longer than their IKE SA.
func (r *resolver) checkOutliving(p *Policy) {
	if p.Disabled || p.Remote == nil || p.Remote.IKEv2 == nil || p.Remote.IKEv2.Lifetime == 0 {
		return
	}
	for _, i := range p.IPsecs {
		if i.Disabled || i.Lifetime > 0 && i.Lifetime <= p.Remote.IKEv2.Lifetime {
			continue
		}
		long := i.Lifetime.String()
		if i.Lifetime == 0 {
			long = "without end"
		}
		r.advise("child-outlives", at(p.Pos, "policy"), "make ipsec_sa_lifetime_time shorter than kmp_sa_lifetime_time",
			"the child SAs of policy %s live longer (%s) than the IKE SA of remote %s (%s), and die with it when it cannot be replaced",
			clip(p.Name), long, clip(p.RemoteIndex), p.Remote.IKEv2.Lifetime)
		return
	}
}

// checkHidden points out alternatives of ipsec_index that are never taken,
// because an earlier one offers all that they do.
func (r *resolver) checkHidden(p *Policy, e *entry) {
	names := e.val.([]name)
	if len(names) != len(p.IPsecs) || len(names) > maxShadowSame {
		return
	}
	for i, later := range p.IPsecs {
		for _, earlier := range p.IPsecs[:i] {
			if later.Disabled || earlier.Disabled || !offersAll(earlier, later) {
				continue
			}
			r.advise("hidden-proposal", names[i].item, "remove it, or name it first",
				"ipsec %s is never chosen: ipsec %s, which comes first, offers all that it does", clip(later.Name), clip(earlier.Name))
			break
		}
	}
}

// offersAll reports whether each combination that b offers is one of a's.
func offersAll(a, b *IPsec) bool {
	if len(a.SAs) != 1 || len(b.SAs) != 1 || a.ExtSequence != b.ExtSequence || a.SAs[0].Protocol != b.SAs[0].Protocol {
		return false
	}
	for _, q := range b.SAs[0].Proposals {
		if !slices.ContainsFunc(a.SAs[0].Proposals, func(p SAProposal) bool {
			return within(q.Encr, p.Encr) && within(q.Integ, p.Integ) && (len(q.Integ) == 0) == (len(p.Integ) == 0)
		}) {
			return false
		}
	}
	return true
}

func within[T comparable](inner, outer []T) bool {
	for _, x := range inner {
		if !slices.Contains(outer, x) {
			return false
		}
	}
	return true
}

// checkNothing points out a configuration that asks for nothing.
func (r *resolver) checkNothing() {
	c := r.config
	if len(c.Remotes)+len(c.Selectors)+len(c.Policies) > 0 || r.dns != nil || r.fallback != nil {
		return
	}
	r.report.add(Finding{Code: "nothing-configured", Severity: Advice, Pos: Pos{File: r.config.Path},
		Text: "there is no remote and no selector: nothing is protected",
		Hint: "racoon2 config new writes the configurations of both ends of a tunnel"})
}

// checkPools warns of addresses that two pools would hand out, or that belong
// to a network of this host's side.
func (r *resolver) checkPools() {
	type span struct {
		AddressRange
		pool *AddressPool
	}
	var all, apart []span
	for _, p := range r.config.AddressPools {
		for _, a := range p.Ranges {
			all = append(all, span{a, p})
		}
	}
	slices.SortStableFunc(all, func(a, b span) int { return a.First.Compare(b.First) })
	for _, s := range all {
		if n := len(apart); n > 0 && !apart[n-1].Last.Less(s.First) {
			last := apart[n-1]
			r.warnf("pool-overlap", at(s.Pos, s.First.String()), "give each address to one pool",
				"addresspool %s and addresspool %s both have %s", clip(last.pool.Name), clip(s.pool.Name), s.First)
			if last.Last.Less(s.Last) {
				apart[n-1].Last = s.Last
			}
			continue
		}
		apart = append(apart, s)
	}
	for _, s := range r.config.Selectors {
		if s.Direction != Outbound {
			continue
		}
		for _, a := range s.Src {
			if a.Kind != AddressInet || a.Prefix.Bits() == 0 {
				continue
			}
			end := lastOf(a.Prefix)
			i := sort.Search(len(apart), func(i int) bool { return !apart[i].Last.Less(a.Prefix.Addr()) })
			if i < len(apart) && !end.Less(apart[i].First) {
				r.warnf("pool-overlap", at(a.Pos, a.String()), "take the pool's addresses out of the network, or narrow src",
					"addresspool %s hands out addresses of %s, which selector %s has on this host's side",
					clip(apart[i].pool.Name), a.Prefix, clip(s.Name))
			}
		}
	}
}

// checkSameIDs warns of remotes that a responder can tell apart by the peer's
// address alone, or not at all.
func (r *resolver) checkSameIDs() {
	first := map[string]*Remote{}
	for _, remote := range r.config.Remotes {
		if remote.IKEv2 == nil {
			continue
		}
		for _, id := range remote.IKEv2.PeersID {
			if id.Type == IDIPAddr && id.Address.Kind == AddressMacro {
				continue
			}
			key := fmt.Sprint(id.Type, " ", id.File, " ", id.Value)
			old := first[key]
			if old == nil {
				first[key] = remote
				continue
			}
			if old == remote || sharePeer(old, remote) {
				continue // checkSamePeers has said so
			}
			severity, what := Advice, "only the peer's address tells them apart"
			if anyPeer(old) || anyPeer(remote) {
				severity, what = Warning, "the first in the file answers a peer whose address fits both"
			}
			r.find(severity, "same-peers-id", at(id.Pos, id.Type.String()), "give each its own peers_id",
				fmt.Sprintf("remotes %s and %s have the same peers_id %s: %s", clip(old.Name), clip(remote.Name), clip(strconv.Quote(id.Value)), what))
		}
	}
}

// sharePeer reports whether two remotes have a numeric peer in common.
func sharePeer(a, b *Remote) bool {
	for _, x := range a.IKEv2.PeersIPAddr {
		for _, y := range b.IKEv2.PeersIPAddr {
			if (x.Kind == AddressInet || x.Kind == AddressFQDN) && x.Kind == y.Kind && x.Addr == y.Addr && x.Name == y.Name && x.Port == y.Port {
				return true
			}
		}
	}
	return false
}

// anyPeer reports whether a remote takes peers from any address.
func anyPeer(r *Remote) bool {
	return len(r.IKEv2.PeersIPAddr) == 0 || slices.ContainsFunc(r.IKEv2.PeersIPAddr, func(a Address) bool {
		return a.Kind == AddressMacro && a.Macro.Any()
	})
}

// checkExchangedNames warns of end points that are written with each other's
// names: my_sa_ipaddr "${PEERS_…}" and peers_sa_ipaddr "${MY_…}".
func (r *resolver) checkExchangedNames(v view) {
	mine, peers := v.own.get("my_sa_ipaddr"), v.own.get("peers_sa_ipaddr")
	if mine == nil || peers == nil || len(mine.args) == 0 || len(peers.args) == 0 {
		return
	}
	if strings.HasPrefix(mine.args[0].Text, "${PEERS_") && strings.HasPrefix(peers.args[0].Text, "${MY_") {
		late := slices.MaxFunc([]*entry{mine, peers}, func(a, b *entry) int { return cmp.Compare(a.pos.Line, b.pos.Line) })
		r.warnf("swapped-end-points", late.args[0], "exchange my_sa_ipaddr and peers_sa_ipaddr",
			"my_sa_ipaddr is %s, and peers_sa_ipaddr is %s", mine.args[0].Text, peers.args[0].Text)
	}
}

// checkRepeated points out an element that a list has already.
func (r *resolver) checkRepeated(e *entry, it Item, name string) {
	r.advise("repeated", it, "remove it", "%s is in %s already", clip(name), e.dir.name)
}
