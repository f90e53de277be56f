package xfrm

import (
	"net/netip"

	"racoon2/kernel"
	"racoon2/kernel/netlink"
)

// parseEvent reads what the kernel tells by itself; nil for what no core needs
// to know.
func parseEvent(m netlink.Message) (kernel.Event, error) {
	switch m.Type {
	case msgAcquire:
		return parseAcquire(m.Body)
	case msgExpire:
		return parseExpire(m.Body)
	case msgMapping:
		return parseMapping(m.Body)
	case msgDelSA:
		var i stateID
		_, err := decode(m.Body, &i)
		return event(kernel.Deleted{ID: i.said()}, err)
	case msgFlushSA:
		var proto uint8
		_, err := decode(m.Body, &proto)
		if proto == protoAny {
			proto = 0
		}
		return event(kernel.Flushed{Proto: kernel.Protocol(proto)}, err)
	case msgDelPolicy:
		return parsePolicyDeleted(m.Body)
	case msgPolicyExpire:
		return parsePolicyExpire(m.Body)
	case msgFlushPolicy, msgMigrate:
		// The vocabulary has no word for them, and its reader must dump anyway.
		return kernel.Resync{}, nil
	}
	return nil, nil
}

func event(e kernel.Event, err error) (kernel.Event, error) {
	if err != nil {
		return nil, err
	}
	return e, nil
}

func parseAcquire(body []byte) (kernel.Event, error) {
	var info acquireInfo
	rest, err := decode(body, &info)
	if err != nil {
		return nil, err
	}
	e := kernel.Acquire{Policy: kernel.PolicyID(info.Policy.Index)}
	if e.Packet, err = info.Selector.toPacket(); err != nil {
		return nil, err
	}
	var templates []kernel.Template
	a := netlink.ParseAttributes(rest)
	for a.Next() {
		if a.Type() == attrTemplates {
			if templates, err = parseTemplates(a.Octets()); err != nil {
				return nil, err
			}
		}
	}
	// Of a bundle, the template of the protocol that is missing.
	e.Template.Proto = kernel.Protocol(info.ID.Proto)
	for _, t := range templates {
		if t.Proto == e.Template.Proto {
			e.Template = t
			break
		}
	}
	return e, a.Err()
}

// parseExpire reads the end of an SA or of a reservation. An SA that an Acquire
// asked for and nobody made has no SPI and is nobody's.
func parseExpire(body []byte) (kernel.Event, error) {
	var info expireInfo
	if _, err := decode(body, &info); err != nil {
		return nil, err
	}
	said := info.State.ID.said(info.State.Family)
	if said.SPI == 0 {
		return nil, nil
	}
	return kernel.Expire{ID: said, ReqID: info.State.ReqID, Hard: info.Hard != 0}, nil
}

func parseMapping(body []byte) (kernel.Event, error) {
	var info mappingInfo
	if _, err := decode(body, &info); err != nil {
		return nil, err
	}
	family := info.ID.Family
	return kernel.Mapping{
		ID:  info.ID.said(),
		Old: netip.AddrPortFrom(info.Old.addr(family), info.OldPort.value()),
		New: netip.AddrPortFrom(info.New.addr(family), info.NewPort.value()),
	}, nil
}

// parsePolicyDeleted reads the name of the policy, and the policy itself from
// the attribute behind it.
func parsePolicyDeleted(body []byte) (kernel.Event, error) {
	var name policyID
	rest, err := decode(body, &name)
	if err != nil {
		return nil, err
	}
	info := policyInfo{Selector: name.Selector, Index: name.Index, Direction: name.Direction}
	var of kernel.Binding
	a := netlink.ParseAttributes(rest)
	for a.Next() {
		if a.Type() == attrPolicy {
			_, err = decode(a.Octets(), &info)
		} else {
			err = parseName(a, &of)
		}
		if err != nil {
			return nil, err
		}
	}
	if a.Err() != nil {
		return nil, a.Err()
	}
	return policyGone(info, of)
}

func parsePolicyExpire(body []byte) (kernel.Event, error) {
	var info policyExpireInfo
	rest, err := decode(body, &info)
	if err != nil || info.Hard == 0 {
		return nil, err
	}
	var of kernel.Binding
	a := netlink.ParseAttributes(rest)
	for a.Next() {
		if err := parseName(a, &of); err != nil {
			return nil, err
		}
	}
	if a.Err() != nil {
		return nil, a.Err()
	}
	return policyGone(info.Policy, of)
}

func policyGone(info policyInfo, of kernel.Binding) (kernel.Event, error) {
	direction := fromDirection(info.Direction)
	if direction == 0 {
		return nil, nil
	}
	s, err := info.Selector.selector()
	return event(kernel.PolicyDeleted{ID: kernel.PolicyID(info.Index), Selector: s, Direction: direction, Binding: of}, err)
}
