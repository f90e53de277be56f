package ikev2

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// Tests of single requirements of RFC 7296 that no story of the other files tells.
// testdata/rfc7296-musts.txt says which test shows what.

// forgeWith is forge with another header, which is authentic too.
func (n *node) forgeWith(to *node, exchange message.ExchangeType, list []message.Payload, change func(*message.Header)) {
	n.w.t.Helper()
	sa := n.e.all()[0]
	h := sa.header(exchange, sa.x.next, false)
	change(&h)
	iv, err := sa.nextIV()
	if err != nil {
		n.w.t.Fatal(err)
	}
	data, err := message.Seal(h, list, sa.keys.seals, iv)
	if err != nil {
		n.w.t.Fatal(err)
	}
	sa.x.next++
	to.handle(Datagram{Local: sa.peer, Remote: sa.local, Data: data})
}

// §3.1: what stands in the header of every message that is sent.
func TestHeadersSent(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	w.advance(time.Minute)
	b.expireSoft(t)
	w.settle()
	b.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) })
	w.settle()
	a.handle(Shutdown{})
	w.settle()
	b.wantNothing()
	initiators := map[uint64]netip.Addr{} // by SPIi
	open := map[uint64]map[uint32]netip.Addr{}
	for i, p := range w.sent {
		h, err := message.DecodeHeader(p.Data)
		if err != nil || h.Major != 2 || h.Minor != 0 || p.Data[19]&^(0x08|0x20) != 0 {
			t.Fatalf("datagram %d: %+v, %v", i, h, err)
		}
		if h.SPIi == 0 || (h.SPIr == 0) != (i == 0) {
			t.Errorf("datagram %d: SPIs %x and %x", i, h.SPIi, h.SPIr)
		}
		// The successor's original initiator is who made it: tokyo.
		if _, known := initiators[h.SPIi]; !known {
			initiators[h.SPIi] = map[bool]netip.Addr{true: a.addr, false: b.addr}[len(initiators) == 0]
			open[h.SPIi] = map[uint32]netip.Addr{}
		}
		if (h.Flags&message.FlagInitiator != 0) != (p.Local.Addr() == initiators[h.SPIi]) {
			t.Errorf("datagram %d: the Initiator bit is %v", i, h.Flags&message.FlagInitiator != 0)
		}
		key := h.MessageID
		if h.Flags&message.FlagInitiator != 0 == (h.Flags&message.FlagResponse != 0) {
			key |= 1 << 31 // requests of the original responder are numbered apart
		}
		asked, outstanding := open[h.SPIi][key]
		response := h.Flags&message.FlagResponse != 0
		if response != outstanding || response && asked == p.Local.Addr() {
			t.Errorf("datagram %d: the Response bit is %v", i, response)
		}
		open[h.SPIi][key] = p.Local.Addr()
		if response {
			delete(open[h.SPIi], key)
		}
	}
}

// §3.1, §2.5: reserved bits, the Version bit and the minor version of what arrives
// count for nothing; a lower major version is no IKEv2, a higher one is answered once.
func TestHeadersReceived(t *testing.T) {
	for name, change := range map[string]func(*message.Header){
		"minor version": func(h *message.Header) { h.Minor = 7 },
		"Version bit":   func(h *message.Header) { h.Flags |= message.FlagVersion },
		"reserved bits": func(h *message.Header) { h.Flags |= 0x01 | 0x02 | 0x04 | 0x40 | 0x80 },
	} {
		w, a, b := pair(t)
		a.initiate()
		w.settle()
		from := len(w.sent)
		a.forgeWith(b, message.INFORMATIONAL, nil, change)
		if len(w.sent) != from+1 {
			t.Errorf("%s: no answer; says\n%s", name, b.log())
		}
		w.wantUp(a, b, 1, 1)
	}
}

// §2.5: payloads in any order, here backwards, and unknown ones among them.
func TestPayloadsInAnyOrder(t *testing.T) {
	w, a, b := pair(t)
	for _, n := range w.nodes {
		n.change(func(_ *Settings, r *Remote, c *Child) { c.Proposals[0].KE = r.groups() })
	}
	shuffle := func(list []message.Payload) []message.Payload {
		slices.Reverse(list)
		return append([]message.Payload{&message.Unknown{Kind: 200, Body: []byte{1}}, &message.VendorID{Data: []byte("whoever")}}, list...)
	}
	w.filter = func(p Send) []Send {
		x, response := exchangeOf(p)
		if x == message.IKE_SA_INIT {
			return []Send{p} // its octets are signed
		}
		sender := map[bool]*node{true: a, false: b}[p.Local.Addr() == a.addr]
		sa := sender.e.all()[0]
		h, _ := message.DecodeHeader(p.Data)
		data, err := sa.seal(x, h.MessageID, response, shuffle(opened(t, sa, p)))
		if err != nil {
			t.Fatal(err)
		}
		return []Send{{Local: p.Local, Remote: p.Remote, Data: data[0]}}
	}
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
	w.advance(time.Minute)
	b.expireSoft(t)
	w.settle()
	w.wantUp(a, b, 1, 1)
	a.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) })
	for w.step(); len(w.wire) > 0 && len(a.e.all()) == 1; {
		w.step()
	}
	w.filter = nil
	w.settle()
	w.wantUp(a, b, 1, 1)
}

// §3.10.1: status types that nobody knows are ignored in every message, error types
// in requests; in an answer an error that nobody knows is a failure of its request.
// Vendor IDs change nothing (§3.12).
func TestUnknownNotifications(t *testing.T) {
	strange := []message.Payload{notify(40000, []byte("data")), &message.VendorID{Data: []byte("whoever")}}
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	from := len(w.sent)
	a.forge(b, message.INFORMATIONAL, append([]message.Payload{notify(8000, nil)}, strange...))
	w.settle()
	if len(w.sent) != from+1 || len(opened(t, b.e.all()[0], w.sent[from])) != 0 {
		t.Error("an INFORMATIONAL with unknown notifications has no empty answer")
	}
	w.wantUp(a, b, 1, 1)
	w.advance(time.Minute)
	b.lie(message.CREATE_CHILD_SA, func(l []message.Payload) []message.Payload { return append(l, strange...) })
	a.askAgain()
	w.settle()
	w.wantUp(a, b, 1, 2)
	w.advance(time.Minute)
	b.lie(message.CREATE_CHILD_SA, func([]message.Payload) []message.Payload { return []message.Payload{notify(8000, nil)} })
	packet := selector("10.0.1.50/32", "10.0.2.50/32")
	a.handle(Initiate{Remote: "tokyo", Child: "kyoto_out", Packet: &packet})
	w.settle()
	if len(a.failures) != 1 {
		t.Errorf("failures %+v", a.failures)
	}
}

// §1.4: every INFORMATIONAL request is answered, whatever is in it.
func TestInformationalIsAnswered(t *testing.T) {
	for name, list := range map[string][]message.Payload{
		"nothing":       nil,
		"notification":  {notify(message.INITIAL_CONTACT, nil)},
		"configuration": {&message.Config{Kind: 1, Attributes: []message.ConfigAttribute{{Kind: 7}, {Kind: 30000, Value: []byte{1}}}}},
		"deletion":      {&message.Delete{Protocol: message.ProtocolESP, SPIs: []uint32{77}}},
		"of IKE":        {&message.Delete{Protocol: message.ProtocolIKE}},
		"INVALID_SPI":   {notify(message.INVALID_SPI, []byte{1, 2, 3, 4})},
		"unknown":       {&message.Unknown{Kind: 201, Body: []byte("?")}},
		"3000 octets":   {&message.VendorID{Data: make([]byte, 2900)}}, // §2: up to 3000 octets
	} {
		w, a, b := pair(t)
		a.initiate()
		w.settle()
		from := len(w.sent)
		a.forgeWith(b, message.INFORMATIONAL, list, func(*message.Header) {}) // in one piece
		if len(w.sent) != from+1 {
			t.Errorf("%s: %d answers", name, len(w.sent)-from)
		}
	}
}

// §1.3.1: a responder that declines transport mode gets a deletion.
func TestTransportDeclined(t *testing.T) {
	w, a, b := protected(t, false, kernel.Transport, testChildProposal())
	b.lie(message.IKE_AUTH, func(l []message.Payload) []message.Payload {
		return slices.DeleteFunc(l, func(p message.Payload) bool {
			n, ok := p.(*message.Notify)
			return ok && n.Kind == message.USE_TRANSPORT_MODE
		})
	})
	a.initiate()
	w.settle()
	wantWords(t, a.wantReason(reasonModeMismatch).Text, "peer chooses tunnel", "has transport")
	w.wantUp(a, b, 1, 0)
}

// §2.11, §2.23: a request from any port is taken, and the answer goes back to where it
// came from, from where it was sent to.
func TestAnyPort(t *testing.T) {
	w, a, b := pair(t)
	odd := uint16(31337)
	w.filter = func(p Send) []Send {
		switch {
		case p.Local.Addr() == a.addr:
			p.Local = netip.AddrPortFrom(a.addr, odd)
		case p.Remote.Port() != odd || p.Local.Port() != 500 && p.Local.Port() != 4500:
			t.Errorf("an answer from %v to %v", p.Local, p.Remote)
		default:
			p.Remote = netip.AddrPortFrom(a.addr, a.e.all()[0].local.Port())
		}
		return []Send{p}
	}
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
}

// §2.10: nonces are new for each exchange, and large enough for every PRF that may
// be chosen.
func TestNonces(t *testing.T) {
	for prf, least := range map[transform.PRF]int{
		transform.PRF_HMAC_MD5: 16, transform.PRF_HMAC_SHA2_256: 16, transform.PRF_HMAC_SHA2_384: 24, transform.PRF_HMAC_SHA2_512: 32, transform.PRF_AES128_CMAC: 16,
	} {
		_, a, _ := pair(t)
		p := testIKEProposal()
		p.PRF = []transform.PRF{transform.PRF_HMAC_SHA2_256, prf}
		n, err := a.e.nonce(&Remote{NonceSize: 0, Proposals: []IKEProposal{p}})
		if err != nil || len(n) < least {
			t.Errorf("%v: %d octets, want %d; %v", prf, len(n), least, err)
		}
	}
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	for range 5 {
		a.expireSoft(t)
		w.settle()
	}
	seen := map[string]bool{}
	count := 0
	for _, p := range w.sent {
		var list []message.Payload
		if m, err := message.Decode(slices.Clone(p.Data)); err == nil && m.Exchange == message.IKE_SA_INIT {
			list = m.Payloads
		} else {
			list = opened(t, map[bool]*node{true: a, false: b}[p.Local.Addr() == a.addr].e.all()[0], p)
		}
		for _, payload := range list {
			if n, ok := payload.(*message.Nonce); ok {
				count++
				seen[string(n.Data)] = true
			}
		}
	}
	if count != 12 || len(seen) != count {
		t.Errorf("%d nonces, %d different ones", count, len(seen))
	}
}

// §2.12: what ends leaves no keys behind.
func TestKeysAreForgotten(t *testing.T) {
	for name, end := range map[string]func(a *node){
		"deleted": func(a *node) { a.handle(Terminate{}) },
		"rekeyed": func(a *node) { a.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) }) },
	} {
		w, a, b := pair(t)
		a.initiate()
		w.settle()
		var secrets [][]byte
		for _, n := range []*node{a, b} {
			k := n.e.all()[0].keys
			secrets = append(secrets, k.d, k.pOwn, k.pPeer)
			c := n.e.all()[0].children[0]
			if c.keys.encrI != nil || c.keys.encrR != nil {
				t.Error("a child that stands keeps its keys")
			}
		}
		end(a)
		w.settle()
		w.advance(time.Minute)
		for i, s := range secrets {
			if len(bytes.Trim(s, "\x00")) != 0 {
				t.Errorf("%s: secret %d is still there", name, i)
			}
		}
	}
}

// §3.3.6: a responder that chooses the group NONE ignores the KE payload and sends none.
func TestGroupNone(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	b.change(func(_ *Settings, r *Remote, _ *Child) { r.Check = CheckExact })
	set := a.e.all()[0].children[0].traffic
	c := *a.e.settings.Remotes[0].Children[0]
	c.Proposals = []ChildProposal{testChildProposal()}
	c.Proposals[0].KE = []transform.KE{transform.KE_CURVE25519, transform.KE_NONE}
	from := len(w.sent)
	a.forge(b, message.CREATE_CHILD_SA, []message.Payload{
		&message.SA{Proposals: offer(c.alternatives(keOffer, nil), []byte{1, 2, 3, 4})}, &message.Nonce{Data: make([]byte, 32)},
		&message.KE{Method: transform.KE_CURVE25519, Data: []byte(strings.Repeat("no point", 4))},
		&message.TS{Initiator: true, Selectors: set.local}, &message.TS{Selectors: set.remote},
	})
	if len(b.kernel.sas) != 4 {
		t.Fatalf("%d SAs; says\n%s", len(b.kernel.sas), b.log())
	}
	for _, p := range opened(t, b.e.all()[0], w.sent[from]) {
		if p.Type() == message.PayloadKE {
			t.Error("the answer has a KE payload")
		}
	}
}

// §3.3, §3.3.1: proposals are numbered from 1 in order of preference, each transform
// has one attribute at most, and AEADs stand apart from integrity algorithms.
func TestOffers(t *testing.T) {
	r := &Remote{Proposals: []IKEProposal{testIKEProposal(), {
		Encr: []Encryption{{transform.ENCR_AES_CBC, 256}, {transform.ENCR_AES_CBC, 128}, {transform.ENCR_3DES, 0}}, PRF: []transform.PRF{transform.PRF_HMAC_SHA2_256},
		Integ: []transform.INTEG{transform.AUTH_HMAC_SHA2_256_128}, KE: []transform.KE{transform.KE_ECP_256},
	}, testIKEProposal()}}
	list := offer(r.ikeAlternatives(), nil)
	for i, p := range list {
		aead := len(ofType(p.Transforms, transform.TypeINTEG)) == 0
		if int(p.Number) != i+1 || len(p.SPI) != 0 || aead != (i != 1) {
			t.Errorf("proposal %d: %+v", i, p)
		}
		for _, e := range ofType(p.Transforms, transform.TypeENCR) {
			if (e.KeyBits == 0) != (transform.ENCR(e.ID) == transform.ENCR_3DES) {
				t.Errorf("%s", transformName(e)) // §3.3.5
			}
		}
	}
	if got := list[1].Transforms[0]; got.KeyBits != 256 {
		t.Errorf("the first of the second proposal is %s", transformName(got))
	}
}

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

// §3.14: IVs of CBC are new and unpredictable for every message, those of AEADs never
// repeat.
func TestIVs(t *testing.T) {
	for _, cbc := range []bool{false, true} {
		w, a, b := pair(t)
		size := 8
		for _, n := range w.nodes {
			n.change(func(_ *Settings, r *Remote, _ *Child) {
				if cbc {
					size = 16
					r.Proposals[0].Encr, r.Proposals[0].Integ = []Encryption{{transform.ENCR_AES_CBC, 128}}, []transform.INTEG{transform.AUTH_HMAC_SHA2_256_128}
				}
			})
		}
		a.initiate()
		w.settle()
		for range 20 {
			a.act(func(e *Engine) { e.all()[0].probe() })
			w.settle()
		}
		seen := map[string]bool{}
		sent := 0
		for _, p := range w.sent[2:] {
			if p.Local.Addr() == a.addr {
				sent++
				seen[string(p.Data[32:32+size])] = true
			}
		}
		if len(seen) != sent || sent < 20 {
			t.Errorf("CBC %v: %d IVs for %d messages", cbc, len(seen), sent)
		}
		counting := 0
		for iv := range seen {
			if len(strings.TrimLeft(iv, "\x00")) <= 2 {
				counting++
			}
		}
		if cbc && counting > 0 || !cbc && counting != sent {
			t.Errorf("CBC %v: %d of %d IVs count", cbc, counting, sent)
		}
		_ = b
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

// A remote without a key authenticates nobody and is refused by nobody's mistake: in
// neither role does an empty key count as one.
func TestNoSharedKey(t *testing.T) {
	for _, without := range []string{"initiator", "responder", "both"} {
		w, a, b := pair(t)
		if without != "responder" {
			a.change(func(_ *Settings, r *Remote, _ *Child) { r.SharedKey = nil })
		}
		if without != "initiator" {
			b.change(func(_ *Settings, r *Remote, _ *Child) { r.SharedKey = nil })
		}
		a.initiate()
		w.settle()
		w.advance(time.Minute)
		a.wantNothing()
		b.wantNothing()
		if len(a.failures) != 1 {
			t.Errorf("%s without a key: failures %+v", without, a.failures)
		}
	}
}
