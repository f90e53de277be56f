package ikev2

import (
	"encoding/binary"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
)

// sendFragments gives the peer authentic fragments of an empty request, with any
// number and total.
func (n *node) sendFragments(to *node, numbers [][2]uint16) {
	n.w.t.Helper()
	sa := n.e.all()[0]
	for _, f := range numbers {
		to.handle(Datagram{Local: sa.peer, Remote: sa.local, Data: n.craft(f[0], f[1], 600)})
	}
}

// numbered puts any number and total into the fragments that it seals.
type numbered struct {
	transform.Cipher
	number, total uint16
}

func (c numbered) Seal(dst, iv, plaintext, ad, more []byte) []byte {
	fields := dst[len(dst)-4:]
	binary.BigEndian.PutUint16(fields, c.number)
	binary.BigEndian.PutUint16(fields[2:], c.total)
	return c.Cipher.Seal(dst, iv, plaintext, ad, more)
}

// craft is a fragment with size octets of an unknown payload.
func (n *node) craft(number, total uint16, size int) []byte {
	n.w.t.Helper()
	sa := n.e.all()[0]
	h := sa.header(message.INFORMATIONAL, sa.x.next, false)
	body := []message.Payload{&message.VendorID{Data: make([]byte, size)}}
	parts, err := message.SealFragments(h, body, numbered{sa.keys.seals, number, total}, sa.nextIV, message.MaxLen)
	if err != nil {
		n.w.t.Fatal(err)
	}
	return parts[0]
}

// What a hostile peer does with numbers and totals costs no more than is allowed,
// and the IKE SA goes on.
func TestFragmentsHostile(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	a.sendFragments(b, [][2]uint16{{0, 2}, {3, 2}, {1, 0}, {0, 0}})
	if b.e.reassembling != 0 {
		t.Errorf("%d octets of impossible fragments are kept", b.e.reassembling)
	}
	a.sendFragments(b, [][2]uint16{{1, 65535}, {1, message.MaxFragments + 1}})
	if b.e.reassembling != 0 {
		t.Errorf("%d octets of too many fragments are kept", b.e.reassembling)
	}
	b.wantReason(reasonFragment)
	for total := uint16(2); total < 100; total++ {
		a.sendFragments(b, [][2]uint16{{1, total}, {1, total}, {2, total - 1}})
		if b.e.reassembling > 1300 {
			t.Fatalf("%d octets are kept after total %d", b.e.reassembling, total)
		}
	}
	for i := range uint16(message.MaxFragments - 1) {
		sa := a.e.all()[0]
		b.handle(Datagram{Local: sa.peer, Remote: sa.local, Data: a.craft(i+1, message.MaxFragments, 60000)})
	}
	if b.e.reassembling > message.MaxLen {
		t.Errorf("%d octets of one message are kept", b.e.reassembling)
	}
	w.advance(reassemblyTime)
	if b.e.reassembling != 0 {
		t.Errorf("%d octets are kept for ever", b.e.reassembling)
	}
	// The shard's bound.
	b.e.reassembling = maxReassembling
	a.sendFragments(b, [][2]uint16{{1, 2}})
	b.wantReason(reasonFragmentLimit)
	b.e.reassembling = 0
	w.wantUp(a, b, 1, 1)
	a.handle(Terminate{})
	w.settle()
	a.wantNothing()
	b.wantNothing()
}

// forgeFragments sends an authentic request in fragments, without counting it.
func (n *node) forgeFragments(to *node, size int) {
	n.w.t.Helper()
	sa := n.e.all()[0]
	parts, err := sa.divide(sa.header(message.INFORMATIONAL, sa.x.next, false), []message.Payload{&message.VendorID{Data: make([]byte, size)}}, 576)
	if err != nil {
		n.w.t.Fatal(err)
	}
	for _, p := range parts {
		to.handle(Datagram{Local: sa.peer, Remote: sa.local, Data: p})
	}
}

// A responder that nobody authenticated keeps no fragments beyond its half-open time.
func TestFragmentsHalfOpen(t *testing.T) {
	w, a, b := pair(t)
	large(a, b, 5000, 0)
	lost := 0
	w.filter = func(p Send) []Send {
		if isFragment(p.Data) {
			if lost++; lost > 2 {
				return nil
			}
		}
		return []Send{p}
	}
	a.initiate()
	w.settle()
	if b.e.reassembling == 0 {
		t.Fatal("no fragment was kept")
	}
	a.handle(Shutdown{})
	w.advance(2 * time.Minute)
	b.wantNothing()
}
