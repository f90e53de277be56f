package sim

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"

	"racoon2/ikev2/message"
)

// wire watches every IKE datagram that is sent and received, and holds the
// rules that need no key to check.
type wire struct {
	w *World
	// asked are the requests that a host received, answered the responses.
	asked, answered map[exchangeKey]bool
	// octets are those of protected messages and of their fragments, by sender.
	octets map[fragmentKey][sha256.Size]byte
	// farewells are INFORMATIONAL requests that were sent out of the window: the
	// last word of a host that gives an IKE SA up.
	farewells map[exchangeKey]bool
}

// exchangeKey names one message at one host: by the header's SPIi, which both
// ends have from the beginning, who began the IKE SA, and the Message ID.
type exchangeKey struct {
	host      *Host
	life      int // a host that was restarted is another one
	spii      uint64
	initiator bool // the sender is the original initiator
	response  bool
	id        uint32
}

// fragmentKey names one datagram of a message (RFC 7383 §2.5); Total is 0 for a
// message in one piece.
type fragmentKey struct {
	exchangeKey
	Number, Total uint16
}

func fragmentOf(k exchangeKey, data []byte) fragmentKey {
	f := fragmentKey{exchangeKey: k}
	if m, err := message.Decode(data); err == nil && len(m.Payloads) > 0 {
		if skf, ok := m.Payloads[len(m.Payloads)-1].(*message.EncryptedFragment); ok {
			f.Number, f.Total = skf.Number, skf.Total
		}
	}
	return f
}

func newWire(w *World) *wire {
	return &wire{
		w: w, asked: make(map[exchangeKey]bool), answered: make(map[exchangeKey]bool),
		octets: make(map[fragmentKey][sha256.Size]byte), farewells: make(map[exchangeKey]bool),
	}
}

func keyOf(h *Host, m message.Header) exchangeKey {
	return exchangeKey{
		host: h, life: h.life, spii: m.SPIi, id: m.MessageID,
		initiator: m.Flags&message.FlagInitiator != 0, response: m.Flags&message.FlagResponse != 0,
	}
}

// protected says that a message is sealed, and so belongs to an IKE SA.
func protected(m message.Header) bool {
	return m.NextPayload == message.PayloadSK || m.NextPayload == message.PayloadSKF
}

// watcher watches the datagrams of one protocol of engines.
type watcher interface {
	sent(from, to *Host, data []byte)
	received(to, from *Host, data []byte)
	describe(data []byte) string
	fits(r *Rule, from, to string, data []byte) bool
}

// sent checks a datagram that a host sends.
func (x *wire) sent(h, _ *Host, data []byte) {
	if bytes.Equal(data, keepalive) {
		return
	}
	m, err := message.DecodeHeader(data)
	if err != nil {
		x.w.violate(h.Name, Answered, "sent %d octets that are no IKE message: %v", len(data), err)
		return
	}
	k := keyOf(h, m)
	if k.response {
		// The request came from the other side of the IKE SA.
		asked := k
		asked.response, asked.initiator = false, !k.initiator
		if !x.asked[asked] {
			x.w.violate(h.Name, Answered, "%v response %d answers nothing that was received", m.Exchange, m.MessageID)
		}
	}
	if !protected(m) {
		return
	}
	if !k.response && k.id > 0 {
		x.window(h, k, m)
	}
	sum, f := sha256.Sum256(data), fragmentOf(k, data)
	if old, again := x.octets[f]; again && old != sum {
		x.w.violate(h.Name, SameOctets, "%v %s %d was sent again with other octets", m.Exchange, kind(m), m.MessageID)
	}
	x.octets[f] = sum
}

// window holds that a request waits for the answer to the one before, or as many
// before as a host has promised to keep state for. One that does not is taken for a farewell, after which nothing may be asked any more.
func (x *wire) window(h *Host, k exchangeKey, m message.Header) {
	before, sa := k, k
	before.response, before.initiator, before.id = true, !k.initiator, k.id-x.w.widest()
	sa.id = 0
	if before.id > k.id {
		return // the first ones, which nothing stands before
	}
	switch {
	case x.farewells[sa]:
		x.w.violate(h.Name, Window, "%v request %d was sent after the farewell", m.Exchange, k.id)
	case x.answered[before]:
	case m.Exchange == message.INFORMATIONAL:
		x.farewells[sa] = true
	default:
		x.w.violate(h.Name, Window, "%v request %d was sent before the answer to %d came", m.Exchange, k.id, before.id)
	}
}

// widest is the largest window that a host has promised.
func (w *World) widest() uint32 {
	n := 1
	for _, h := range w.hosts {
		for _, r := range h.compiled.IKEv2.Remotes {
			n = max(n, r.Window)
		}
	}
	return uint32(n)
}

// received notes a datagram that reaches a host, whatever the host makes of it.
func (x *wire) received(h, _ *Host, data []byte) {
	m, err := message.DecodeHeader(data)
	if err != nil {
		return
	}
	k := keyOf(h, m)
	if k.response {
		x.answered[k] = true
	} else {
		x.asked[k] = true
	}
}

func kind(m message.Header) string {
	if m.Flags&message.FlagResponse != 0 {
		return "response"
	}
	return "request"
}

// describe is a datagram in one line: exchange, kind, Message ID, whether the
// original initiator sent it, the end of SPIi, payloads.
func (x *wire) describe(data []byte) string {
	if bytes.Equal(data, keepalive) {
		return "NAT keepalive"
	}
	h, err := message.DecodeHeader(data)
	if err != nil {
		return fmt.Sprintf("%d octets", len(data))
	}
	side := "-"
	if h.Flags&message.FlagInitiator != 0 {
		side = "I"
	}
	text := fmt.Sprintf("%v %s %d [%s %04x]", h.Exchange, kind(h), h.MessageID, side, uint16(h.SPIi))
	m, err := message.Decode(data)
	if err != nil {
		return text + " malformed"
	}
	var names []string
	for _, p := range m.Payloads {
		name := p.Type().String()
		switch p := p.(type) {
		case *message.Notify:
			name = "N(" + p.Kind.String() + ")"
		case *message.KE:
			name = "KE(" + p.Method.String() + ")"
		case *message.Encrypted:
			name = "SK"
		case *message.EncryptedFragment:
			name = fmt.Sprintf("SKF(%d of %d)", p.Number, p.Total)
		}
		names = append(names, name)
	}
	return text + " " + strings.Join(names, " ")
}

// fits says whether a rule speaks of a datagram.
func (x *wire) fits(r *Rule, from, to string, data []byte) bool {
	m, err := message.DecodeHeader(data)
	if err != nil {
		return false
	}
	return (r.From == "" || r.From == from) && (r.To == "" || r.To == to) &&
		(r.Exchange == "" || r.Exchange == m.Exchange.String()) &&
		r.Response == (m.Flags&message.FlagResponse != 0) &&
		(r.AnyID || r.MessageID == m.MessageID)
}
