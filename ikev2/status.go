package ikev2

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"racoon2/ikev2/transform"
)

// Status describes every IKE SA, in the order in which they were made.
func (e *Engine) Status() []IKEInfo {
	list := make([]IKEInfo, 0, len(e.sas))
	for _, sa := range e.all() {
		list = append(list, sa.info())
	}
	return list
}

// Counters are the events by trace reason since the start, and the gauges
// "half_open" (of all shards), "ike_sas" and "child_sas".
func (e *Engine) Counters() map[string]uint64 {
	c := maps.Clone(e.counters)
	children := 0
	for _, sa := range e.sas {
		for _, ch := range sa.children {
			if ch.state != childReserved && ch.state != childAdding {
				children++
			}
		}
	}
	c["half_open"] = uint64(max(0, e.cfg.Shared.HalfOpen.Load()))
	c["ike_sas"] = uint64(len(e.sas))
	c["child_sas"] = uint64(children)
	return c
}

// all are the IKE SAs in the order of their making.
func (e *Engine) all() []*ikeSA {
	list := make([]*ikeSA, 0, len(e.sas))
	for _, serial := range slices.Sorted(maps.Keys(e.sas)) {
		list = append(list, e.sas[serial])
	}
	return list
}

func (sa *ikeSA) info() IKEInfo {
	i := IKEInfo{
		Serial: sa.serial, Remote: sa.remoteName(), State: sa.state.String(), Initiator: sa.initiator,
		SPIi: sa.spii, SPIr: sa.spir, LocalAddr: sa.local, RemoteAddr: sa.peer,
		NATLocal: sa.natLocal, NATRemote: sa.natPeer,
		Established: sa.established, Expires: sa.expires, LastHeard: sa.heard, Reauth: sa.reauthAt,
	}
	if len(sa.localID.Data) > 0 {
		i.LocalID = sa.localID.String()
	}
	if len(sa.peerID.Data) > 0 {
		i.RemoteID = sa.peerID.String()
	}
	if sa.keys != nil {
		i.Encr, i.PRF, i.KE = encryptionName(sa.suite.encr), sa.suite.prf.String(), sa.suite.ke.String()
		if !sa.suite.encr.ID.AEAD() {
			i.Integ = sa.suite.integ.String()
		}
	}
	i.Extensions = sa.extensions()
	for _, c := range sa.children {
		if c.state != childReserved && c.state != childAdding {
			i.Children = append(i.Children, c.info())
		}
	}
	return i
}

// extensions are what both ends agreed on beyond RFC 7296.
func (sa *ikeSA) extensions() []string {
	var list []string
	if sa.frag.agreed {
		list = append(list, fmt.Sprintf("fragments of %d octets", sa.packetSize()))
	}
	if sa.ppk {
		list = append(list, "PPK")
	}
	if sa.mob.agreed {
		list = append(list, sa.mobileWords())
	}
	return list
}

func (c *childSA) info() ChildInfo {
	i := ChildInfo{
		Name: c.conf.Name, Protocol: c.conf.protocol(), Mode: c.conf.Mode, SPIIn: c.spiIn, SPIOut: c.spiOut,
		Local: c.local, Remote: c.remote, ReqID: c.conf.ReqID,
		TSLocal: c.traffic.local, TSRemote: c.traffic.remote,
		ESN: c.suite.sn == transform.SN_EXTENDED, Encap: c.encap != nil, Established: c.established,
	}
	if c.suite.encr.ID != 0 {
		i.Encr = encryptionName(c.suite.encr)
	}
	if c.suite.integ != transform.AUTH_NONE {
		i.Integ = c.suite.integ.String()
	}
	if c.comp != transform.COMP_NONE {
		i.Comp, i.CPIIn, i.CPIOut = c.comp.String(), c.cpiIn, c.cpiOut
	}
	if c.suite.ke != transform.KE_NONE {
		i.KE = c.suite.ke.String()
	}
	if c.hard.Time > 0 {
		i.Expires = c.established.Add(c.hard.Time.Round(time.Second))
	}
	return i
}
