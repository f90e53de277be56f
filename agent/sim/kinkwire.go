package sim

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"racoon2/kink/message"
)

// kinkWire watches every KINK datagram, and holds the rules that need no key to check.
type kinkWire struct {
	w      *World
	asked  map[kinkExchange]bool // commands that a host received
	proofs map[[sha256.Size]byte]bool
}

// kinkExchange names a transaction at the host that answers.
type kinkExchange struct {
	host, peer *Host
	life       int
	xid        uint32
}

func newKINKWire(w *World) *kinkWire {
	return &kinkWire{w: w, asked: make(map[kinkExchange]bool), proofs: make(map[[sha256.Size]byte]bool)}
}

func (x *kinkWire) sent(h, to *Host, data []byte) {
	m, err := message.Decode(data)
	if err != nil {
		x.w.violate(h.Name, Answered, "sent %d octets that are no KINK message: %v", len(data), err)
		return
	}
	if m.Type == message.REPLY && !x.asked[kinkExchange{h, to, h.life, m.XID}] {
		x.w.violate(h.Name, Answered, "REPLY to XID %d answers nothing that was received", m.XID)
	}
	for _, p := range m.Payloads {
		switch p := p.(type) {
		case message.APReq:
			sum := sha256.Sum256(p.Octets)
			if x.proofs[sum] {
				x.w.violate(h.Name, FreshProof, "%v with XID %d has an authenticator that was used before", m.Type, m.XID)
			}
			x.proofs[sum] = true
			if len(m.Checksum) == 0 {
				x.w.violate(h.Name, Sealed, "%v has no checksum", m.Type)
			}
		case message.ISAKMP:
			x.w.violate(h.Name, Sealed, "%v has Quick Mode payloads in clear", m.Type)
		}
	}
}

func (x *kinkWire) received(h, from *Host, data []byte) {
	if m, err := message.Decode(data); err == nil && m.Type.Command() {
		x.asked[kinkExchange{h, from, h.life, m.XID}] = true
	} else if head, ok := message.Peek(data); ok && head.Type.Command() {
		x.asked[kinkExchange{h, from, h.life, head.XID}] = true
	}
}

// describe is a datagram in one line.
func (x *kinkWire) describe(data []byte) string {
	m, err := message.Decode(data)
	if err != nil {
		return fmt.Sprintf("%d octets that are no KINK message", len(data))
	}
	text := fmt.Sprintf("KINK %v %04x", m.Type, uint16(m.XID))
	if m.AckRequest {
		text += " ACKREQ"
	}
	for _, p := range m.Payloads {
		name := strings.TrimPrefix(p.Type().String(), "KINK_")
		if e, ok := p.(message.Error); ok {
			name += "(" + e.Code.String() + ")"
		}
		text += " " + name
	}
	return text
}

func (x *kinkWire) fits(r *Rule, from, to string, data []byte) bool {
	m, err := message.Decode(data)
	if err != nil {
		return false
	}
	return (r.From == "" || r.From == from) && (r.To == "" || r.To == to) && (r.Exchange == "" || r.Exchange == m.Type.String())
}
