package ikev2

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel"
)

// §2.21.4: INVALID_IKE_SPI copies SPIs and Message ID, and is no answer to a response.
func TestInvalidIKESPI(t *testing.T) {
	w, _, b := pair(t)
	h := message.Header{SPIi: 0x1122, SPIr: 0x3344, Major: 2, Exchange: message.INFORMATIONAL, Flags: message.FlagInitiator, MessageID: 0x55}
	ask := func(flags message.Flags) {
		h.Flags = flags
		data, err := message.Encode(&message.Message{Header: h, Payloads: []message.Payload{&message.VendorID{Data: make([]byte, 64)}}})
		if err != nil {
			t.Fatal(err)
		}
		b.at("192.0.2.1:777", data)
	}
	ask(message.FlagInitiator | message.FlagResponse)
	if len(w.sent) != 0 {
		t.Fatal("a response is answered")
	}
	ask(message.FlagInitiator)
	if len(w.sent) != 1 || clearAnswer(t, w.sent[0]).Kind != message.INVALID_IKE_SPI {
		t.Fatalf("%d answers", len(w.sent))
	}
	got, _ := message.DecodeHeader(w.sent[0].Data)
	if got.SPIi != h.SPIi || got.SPIr != h.SPIr || got.MessageID != h.MessageID || w.sent[0].Remote.Port() != 777 {
		t.Errorf("%+v to %v", got, w.sent[0].Remote)
	}
}

// §2.1, §2.3: a retransmission is the same octets, of requests and of answers.
func TestRetransmissionsAreIdentical(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	w.advance(time.Minute)
	from := len(w.sent)
	dropped := 0
	w.filter = func(p Send) []Send {
		if _, response := exchangeOf(p); response && dropped < 3 {
			dropped++
			return nil
		}
		return []Send{p}
	}
	a.expireSoft(t)
	w.advance(time.Minute)
	w.wantUp(a, b, 1, 1)
	octets := map[string]map[string]bool{}
	for _, p := range w.sent[from:] {
		h, _ := message.DecodeHeader(p.Data)
		key := string(binary.BigEndian.AppendUint32([]byte{byte(h.Flags)}, h.MessageID))
		if octets[key] == nil {
			octets[key] = map[string]bool{}
		}
		octets[key][string(p.Data)] = true
	}
	for key, versions := range octets {
		if len(versions) != 1 {
			t.Errorf("message %x was sent in %d versions", key, len(versions))
		}
	}
	if len(w.sent)-from < 8 {
		t.Errorf("%d datagrams: nothing came again", len(w.sent)-from)
	}
}

// §2.8.2, §2.18: after a rekeying the old IKE SA's last request is its own deletion.
func TestLastRequestIsDeletion(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	old := a.e.all()[0]
	keys := keepKeys(old)
	spi := old.spii
	from := len(w.sent)
	a.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) })
	w.settle()
	a.askAgain()
	w.settle()
	w.wantUp(a, b, 1, 1)
	var last []message.Payload
	for _, p := range w.sent[from:] {
		h, _ := message.DecodeHeader(p.Data)
		if h.SPIi == spi && h.Flags&message.FlagResponse == 0 {
			last = opened(t, keys, p)
		}
	}
	if d, ok := last[0].(*message.Delete); len(last) != 1 || !ok || d.Protocol != message.ProtocolIKE {
		t.Errorf("the last request has %+v", last)
	}
}

// §1: what has no place in a state is refused there, whoever has the keys: before the
// peer is authenticated nothing but IKE_AUTH does anything (CREATE_CHILD_SA before
// IKE_AUTH was an authentication bypass elsewhere).
func TestWrongState(t *testing.T) {
	set := trafficSet{[]message.TrafficSelector{ts("10.0.1.0/24", 0)}, []message.TrafficSelector{ts("10.0.2.0/24", 0)}}
	child := []message.Payload{
		&message.SA{Proposals: offer((&Child{Proposals: []ChildProposal{testChildProposal()}}).alternatives(keNever, nil), []byte{1, 2, 3, 4})},
		&message.Nonce{Data: make([]byte, 32)}, &message.TS{Initiator: true, Selectors: set.local}, &message.TS{Selectors: set.remote},
	}
	for _, exchange := range []message.ExchangeType{message.CREATE_CHILD_SA, message.INFORMATIONAL, 38, 39, 43, 44, 240} {
		for _, list := range [][]message.Payload{nil, child, rekeyPayloads(), {&message.Delete{Protocol: message.ProtocolIKE}}, {notify(message.INITIAL_CONTACT, nil)}} {
			w, a, b := pair(t)
			a.initiate()
			w.step() // IKE_SA_INIT
			w.step() // its answer; IKE_AUTH is on the way
			w.wire = nil
			from := len(w.sent)
			initiator, responder := a.e.all()[0], b.e.all()[0]
			seal := func(sa *ikeSA, id uint32, response bool) []byte {
				data, err := sa.seal(exchange, id, response, list)
				if err != nil {
					t.Fatal(err)
				}
				return data[0]
			}
			keys := keepKeys(responder)
			forged := seal(initiator, 1, false)
			early := seal(responder, 0, false)
			a.handle(Datagram{Local: initiator.local, Remote: initiator.peer, Data: early})
			a.handle(Datagram{Local: initiator.local, Remote: initiator.peer, Data: seal(responder, 1, true)})
			b.handle(Datagram{Local: responder.local, Remote: responder.peer, Data: forged})
			b.wantReason(reasonUnexpected)
			b.wantNothing()
			if len(b.kernel.ops) != 0 || len(b.ups) != 0 {
				t.Errorf("exchange %d: the kernel was asked for %v", exchange, b.kernel.ops)
			}
			if len(w.sent) != from+1 || notifies(opened(t, keys, w.sent[from]))[0] != message.INVALID_SYNTAX {
				t.Errorf("exchange %d: %d answers", exchange, len(w.sent)-from)
			}
			if initiator.state != stateAuthSent || len(a.kernel.sas) != 0 {
				t.Errorf("exchange %d moves the initiator to %s", exchange, initiator.state)
			}
		}
	}
	// IKE_AUTH and IKE_SA_INIT where they are over.
	for _, exchange := range []message.ExchangeType{message.IKE_AUTH, 43, 44, 240} {
		w, a, b := pair(t)
		a.initiate()
		w.settle()
		ops := len(b.kernel.ops)
		a.forge(b, exchange, child)
		b.wantReason(reasonUnexpected)
		b.wantNothing()
		for _, op := range b.kernel.ops[ops:] {
			if _, ok := op.(kernel.DeleteSA); !ok {
				t.Errorf("exchange %d: the kernel was asked for %T", exchange, op)
			}
		}
	}
}

// §2.1: a response leaves once for each time that its request comes, and never by itself.
func TestAnswersAreNotRepeated(t *testing.T) {
	for at := range 4 { // the answers to IKE_SA_INIT, IKE_AUTH, a child's and an empty request
		w, a, b := pair(t)
		a.initiate()
		if at > 1 {
			w.settle()
			w.advance(time.Minute)
		}
		switch at {
		case 2:
			a.askAgain()
		case 3:
			a.act(func(e *Engine) { e.all()[0].probe() })
		}
		if at == 1 {
			w.step()
			w.step()
		}
		w.step() // the request arrives
		if len(w.wire) != 1 {
			t.Fatalf("case %d: %d datagrams", at, len(w.wire))
		}
		w.wire = nil
		w.nodes = []*node{b} // the initiator falls silent
		from := len(w.sent)
		w.advance(time.Hour)
		for _, p := range w.sent[from:] {
			if _, response := exchangeOf(p); response {
				t.Errorf("case %d: an answer that nobody asked for again", at)
			}
		}
	}
}

// §1.4.1: the SAs of a child stay, both of them, until the answer to their deletion, and
// their SPIs are not given to others before.
func TestHalfClosedSAs(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	spi := a.e.Status()[0].Children[0].SPIIn
	lost := 0
	w.filter = func(p Send) []Send {
		if _, response := exchangeOf(p); response && lost < 2 {
			lost++
			return nil
		}
		return []Send{p}
	}
	a.handle(Terminate{Child: spi})
	for lost < 2 {
		w.advance(time.Second)
		if len(a.kernel.sas) != 2 || len(b.kernel.sas) != 0 {
			t.Fatalf("%d and %d SAs", len(a.kernel.sas), len(b.kernel.sas))
		}
	}
	w.advance(time.Minute)
	w.wantUp(a, b, 1, 0)
}

// §2.6: no two IKE SAs of a host have the same SPI, whatever the random source says.
func TestSPIsAreUnique(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	taken := a.e.all()[0].ownSPI()
	octets := binary.BigEndian.AppendUint64(nil, taken)[1:]
	stream := append(append(slices.Clone(octets), octets...), []byte("another")...)
	a.e.cfg.Rand = bytes.NewReader(stream)
	spi, err := a.e.newSPI()
	if err != nil || spi == taken || spi != binary.BigEndian.Uint64([]byte("\x00another")) {
		t.Errorf("%016x after %016x: %v", spi, taken, err)
	}
	a.e.cfg.Rand = bytes.NewReader(bytes.Repeat(octets, 100))
	if spi, err := a.e.newSPI(); err == nil {
		t.Errorf("%016x out of what is all taken", spi)
	}
	a.e.cfg.Rand = bytes.NewReader(make([]byte, 1000))
	if spi, err := a.e.newSPI(); err == nil { // §3.1: not zero
		t.Errorf("%016x", spi)
	}
	_ = b
}

// §3.4: without a group there is no KE payload, in requests and in answers, and with one
// there is.
func TestKEOnlyWithAGroup(t *testing.T) {
	for _, pfs := range []bool{false, true} {
		w, a, b := pair(t)
		if pfs {
			for _, n := range w.nodes {
				n.change(func(_ *Settings, r *Remote, c *Child) { c.Proposals[0].KE = r.groups() })
			}
		}
		a.initiate()
		w.settle()
		from := len(w.sent)
		a.expireSoft(t)
		w.settle()
		for i, n := range w.nodes {
			has := slices.ContainsFunc(opened(t, n.e.all()[0], w.sent[from+i]), func(p message.Payload) bool { return p.Type() == message.PayloadKE })
			if has != pfs {
				t.Errorf("PFS %v: %s sends KE %v", pfs, n.name, has)
			}
		}
		_ = b
	}
}
