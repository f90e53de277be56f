package kink

import (
	"errors"
	"fmt"
	"slices"

	"racoon2/kernel"
	"racoon2/kernel/trace"
	"racoon2/kink/isakmp"
	"racoon2/kink/message"
)

// deleteTask deletes pairs with one peer (RFC 4430 §3.3).
type deleteTask struct {
	pairs []*pair
}

// deletePairs ends pairs and tells their peers. The outbound SAs go at once; the
// inbound ones when the peer has answered or cannot be reached, and after a grace
// time, for packets that are under way.
func (e *Engine) deletePairs(list []*pair, why string) {
	tasks := make(map[target]*deleteTask)
	var order []target
	for _, sa := range list {
		if sa.state != pairUp && sa.state != pairMaking {
			continue
		}
		sa.state = pairDeleting
		sa.dropOutbound()
		e.stop(&sa.timer)
		sa.down(why)
		to := sa.target
		if tasks[to] == nil {
			tasks[to] = new(deleteTask)
			order = append(order, to)
		}
		tasks[to].pairs = append(tasks[to].pairs, sa)
	}
	for _, to := range order {
		e.begin(to, tasks[to])
	}
}

func (d *deleteTask) kind() message.Type     { return message.DELETE }
func (d *deleteTask) prepare(t *transaction) { t.send() }

// inner lists this host's inbound SPIs.
func (d *deleteTask) inner() []message.Payload {
	q, err := quickMode(deletes(d.pairs)...)
	if err != nil {
		return nil // Deletes of short SPIs can be encoded
	}
	return []message.Payload{q}
}

// deletes are Delete payloads with the inbound SPIs of pairs, one for each protocol, the
// outermost first (RFC 2408 §3.15: the SPIs of a payload are of one protocol).
func deletes(pairs []*pair) []isakmp.Payload {
	var list []isakmp.Payload
	for _, proto := range []kernel.Protocol{kernel.AH, kernel.ESP, kernel.IPComp} {
		var spis [][]byte
		for _, sa := range pairs {
			for _, l := range sa.layers {
				if l.proto == proto && l.spiIn != 0 {
					spis = append(spis, spiOctets(proto, l.spiIn))
				}
			}
		}
		if len(spis) > 0 {
			list = append(list, isakmp.Delete{Protocol: wireProtocol(proto), SPIs: spis})
		}
	}
	return list
}

// reply takes the peer's inbound SPIs, or INVALID-SPI, which means as much: the
// inbound SAs may go (RFC 4430 §3.3).
func (d *deleteTask) reply(t *transaction, payloads []message.Payload) {
	d.logNotifies(t, payloads)
	d.finish("the peer has deleted it")
	t.done()
}

func (d *deleteTask) logNotifies(t *transaction, payloads []message.Payload) {
	for _, p := range payloads {
		if q, ok := p.(message.ISAKMP); ok {
			t.e.logNotifies(q, t.attrs())
		}
	}
}

func (d *deleteTask) failed(_ *transaction, _, _ string) {
	for _, sa := range d.pairs {
		if sa.state == pairDeleting {
			sa.owe()
		}
	}
	d.finish("the peer was not reached")
}

// finish removes the inbound SAs after the grace time.
func (d *deleteTask) finish(why string) {
	for _, sa := range d.pairs {
		if sa.state == pairDeleting {
			sa.linger(why)
		}
	}
}

// linger leaves the inbound SA for the grace time (RFC 4430 §3.3), which may be zero
// at appropriate times: when this host shuts down.
func (sa *pair) linger(why string) {
	grace := sa.target.remote.Grace
	if grace <= 0 || sa.e.closing || !sa.hasIn {
		sa.remove(why)
		return
	}
	sa.state = pairDeleting
	sa.e.start(&sa.timer, grace, func() { sa.remove(why) })
}

// deleteWanted takes a peer's DELETE: SAs of both directions go, and the REPLY lists
// this host's inbound SPIs (RFC 4430 §3.3: MUST). Only the principal that an SA is
// with can delete it.
func (e *Engine) deleteWanted(a *answer, payloads []message.Payload) {
	if len(payloads) == 0 {
		a.refuse(message.KINK_PROTOERR)
		return
	}
	inner := make([]message.Payload, 0, len(payloads))
	for _, p := range payloads {
		q, ok := p.(message.ISAKMP)
		if !ok {
			continue
		}
		list, err := e.deleteOne(a, q)
		if err == nil {
			var answer message.ISAKMP
			if answer, err = quickMode(list...); err == nil {
				inner = append(inner, answer)
				continue
			}
		}
		e.trace(trace.ProtoErr, reasonMalformed, "a DELETE is declined: "+err.Error(), a.attrs()...)
		n := isakmp.Notify{Protocol: isakmp.PROTO_IPSEC_ESP, Kind: isakmp.PAYLOAD_MALFORMED}
		var malformed *isakmp.DecodeError
		if errors.As(err, &malformed) {
			n.Kind, n.Data = malformed.Kind, malformed.Data
		}
		if answer, err := quickMode(n); err == nil {
			inner = append(inner, answer)
		}
	}
	a.reply(inner, false)
}

// deleteOne deletes what one KINK_ISAKMP payload lists.
func (e *Engine) deleteOne(a *answer, q message.ISAKMP) ([]isakmp.Payload, error) {
	list, err := isakmp.Decode(isakmp.PayloadType(q.First), q.Data)
	if err != nil {
		return nil, err
	}
	var gone []*pair
	var answer []isakmp.Payload
	found := false
	for _, p := range list {
		d, ok := p.(isakmp.Delete)
		if !ok {
			if n, ok := p.(isakmp.Notify); ok {
				e.logNotify(n, a.attrs())
				continue
			}
			return nil, fmt.Errorf("%v in DELETE", p.Type())
		}
		found = true
		for _, octets := range d.SPIs {
			sa := e.pairOf(a.key.principal, d.Protocol, octets)
			switch {
			case sa == nil:
				e.trace(trace.ProtoWarn, reasonInvalidSPI, fmt.Sprintf("the peer deletes %v %x, which it does not have", d.Protocol, octets), a.attrs()...)
				answer = append(answer, isakmp.Notify{Protocol: d.Protocol, SPI: octets, Kind: isakmp.INVALID_SPI})
			case !slices.Contains(gone, sa): // of a bundle, one SPI is enough
				gone = append(gone, sa)
			}
		}
	}
	if !found {
		return nil, errors.New("DELETE without a Delete payload")
	}
	answer = append(deletes(gone), answer...)
	for _, sa := range gone {
		if sa.state == pairMaking && !sa.answered {
			sa.unwanted = "the peer deletes it" // the kernel has not said all of it yet
			continue
		}
		sa.dropOutbound()
		sa.state = pairDeleting
		sa.down("the peer deletes it")
		sa.linger("the peer has deleted it")
	}
	return answer, nil
}

// pairOf finds the pair one of whose outbound SPIs the peer names as its inbound one.
func (e *Engine) pairOf(principal string, proto isakmp.Protocol, octets []byte) *pair {
	spi := spiOf(kernelProtocol(proto), octets)
	for _, sa := range e.pairsOf[principal] {
		for _, l := range sa.layers {
			if spi != 0 && l.spiOut == spi && wireProtocol(l.proto) == proto && l.spiIn != 0 {
				return sa
			}
		}
	}
	return nil
}
