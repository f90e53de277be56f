package config

import (
	"math"
	"strconv"
	"strings"
)

// The values of directives that the original does not have.
var (
	number32      = value{"NUMBER", readNumber32}
	interfaceName = value{"INTERFACE", readInterfaceName}
	markValue     = value{"VALUE[/MASK]", readMark}
	mssValue      = value{"OCTETS | pmtu | off", readMSS}
)

func readNumber32(r *resolver, e *entry) (any, bool) {
	it, s, ok := r.single(e)
	if !ok {
		return nil, false
	}
	n, ok := r.number(e, it, s, math.MaxUint32)
	return uint32(n), ok
}

// maxInterfaceName is IFNAMSIZ without the octet that ends a name, in octets.
const maxInterfaceName = 15

func readInterfaceName(r *resolver, e *entry) (any, bool) {
	it, s, ok := r.single(e)
	if !ok {
		return nil, false
	}
	if s == "" || len(s) > maxInterfaceName || strings.ContainsAny(s, "/: \t\r\n%") {
		r.wants(e, it, "%s names no network interface", clip(strconv.Quote(s)))
		return nil, false
	}
	return s, true
}

// readMark reads VALUE[/MASK]; without a mask all bits count.
func readMark(r *resolver, e *entry) (any, bool) {
	it, s, ok := r.single(e)
	if !ok {
		return nil, false
	}
	val, mask, hasMask := strings.Cut(s, "/")
	m := Mark{Mask: math.MaxUint32}
	n, ok := r.number(e, it, val, math.MaxUint32)
	if !ok {
		return nil, false
	}
	m.Value = uint32(n)
	if hasMask {
		if n, ok = r.number(e, it, mask, math.MaxUint32); !ok {
			return nil, false
		}
		m.Mask = uint32(n)
	}
	if m.Value&^m.Mask != 0 {
		r.warnf("mark-bits", it, "", "the mark %#x has bits that its mask %#x leaves out", m.Value, m.Mask)
		m.Value &= m.Mask
	}
	return m, true
}

// The bounds of a TCP segment in octets: what every host must take in
// (RFC 9293 §3.7.1), and what fits into a packet.
const (
	minMSS = 536
	maxMSS = 65495
)

func readMSS(r *resolver, e *entry) (any, bool) {
	it, s, ok := r.single(e)
	if !ok {
		return nil, false
	}
	switch s {
	case "pmtu":
		return MSSClamp{PathMTU: true}, true
	case "off", "disable", "no":
		return MSSClamp{}, true
	}
	n, ok := r.number(e, it, s, maxMSS)
	if ok && n < minMSS {
		r.wants(e, it, "a segment of %d octets is too small: at least %d", n, minMSS)
		ok = false
	}
	return MSSClamp{Octets: uint16(n)}, ok
}

// buildExtensions fills what a policy has beyond the original's.
func (r *resolver) buildExtensions(p *Policy, v view) {
	p.Start = get(v, "start", false)
	p.PerPair = get(v, "sa_per_pair", false)
	p.IfID = get(v, "if_id", uint32(0))
	p.XFRMInterface = get(v, "xfrm_interface", "")
	p.HWOffload = Offload(get(v, "hw_offload", uint8(OffloadOff)))
	p.MSSClamp = get(v, "mss_clamp", MSSClamp{})
	if e := v.get("mark"); e != nil {
		m := e.val.(Mark)
		p.Mark = &m
	}
	if p.XFRMInterface != "" && p.IfID == 0 && v.lacks("if_id") {
		r.errorf("no-if-id", v.get("xfrm_interface").nameItem(), "add: if_id NUMBER;",
			"policy %s has an xfrm_interface and no if_id that ties its traffic to it", clip(p.Name))
	}
}

// checkInterfaces reports XFRM interfaces that cannot be: each has one interface
// identifier, and each identifier one interface.
func (r *resolver) checkInterfaces() {
	byName, byID := map[string]*Policy{}, map[uint32]*Policy{}
	for _, p := range r.config.Policies {
		if p.XFRMInterface == "" || p.IfID == 0 {
			continue
		}
		if old := byName[p.XFRMInterface]; old == nil {
			byName[p.XFRMInterface] = p
		} else if old.IfID != p.IfID {
			r.errorf("interface-conflict", at(p.Pos, "policy"), "give both the same if_id, or one another xfrm_interface",
				"policies %s and %s have the xfrm_interface %s and different if_id", clip(old.Name), clip(p.Name), p.XFRMInterface)
		}
		if old := byID[p.IfID]; old == nil {
			byID[p.IfID] = p
		} else if old.XFRMInterface != p.XFRMInterface {
			r.errorf("interface-conflict", at(p.Pos, "policy"), "give both the same xfrm_interface, or one another if_id",
				"policies %s and %s have the if_id %d and different xfrm_interfaces", clip(old.Name), clip(p.Name), p.IfID)
		}
	}
}

// replayWindow reads the anti-replay window of an ipsec section.
func (r *resolver) replayWindow(v view) uint32 {
	n := get(v, "replay_window", defaultReplayWindow)
	switch {
	case n > maxReplayWindow:
		r.errorf("out-of-range", at(v.posOf("replay_window"), "replay_window"), "write 0 to 4096 packets",
			"replay_window lies outside 0 to %d packets", maxReplayWindow)
	case n > 0 && n < 32:
		r.warnf("small-window", at(v.posOf("replay_window"), "replay_window"), "write 64, or 0 for none",
			"a replay_window below 32 packets is not allowed (RFC 4303 §3.4.3)")
		n = 32
	}
	return uint32(min(n, maxReplayWindow))
}
