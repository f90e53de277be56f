package kink

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"racoon2/kernel"
	"racoon2/kink/isakmp"
	"racoon2/kink/message"
)

// stranger sends datagrams of its own making.
type stranger struct {
	w      *world
	to     *node
	from   netip.AddrPort
	ticket *testTicket // nil for one without a ticket
	xid    uint32
	epoch  uint32
}

// stranger makes one at an address; with a name, it has a ticket.
func (w *world) stranger(addr, name string, to *node) *stranger {
	w.t.Helper()
	s := &stranger{w: w, to: to, from: netip.AddrPortFrom(netip.MustParseAddr(addr), 910), xid: 77, epoch: 5}
	if name != "" {
		t, err := w.realm.issue(w.now, principal(name), principal(to.name), nil)
		if err != nil {
			w.t.Fatal(err)
		}
		s.ticket = t
	}
	return s
}

// send delivers octets and returns the answers to the sender.
func (s *stranger) send(data []byte) []*message.Message {
	s.w.t.Helper()
	s.w.sent = nil
	s.to.handle(Datagram{Local: netip.AddrPortFrom(s.to.addr, 910), Remote: s.from, Data: data})
	var answers []*message.Message
	for _, p := range s.w.sent {
		if p.Remote != s.from {
			continue
		}
		m, err := message.Decode(p.Data)
		if err != nil {
			s.w.t.Fatal(err)
		}
		answers = append(answers, m)
	}
	s.w.settle()
	return answers
}

// command sends an authentic message with the inner payloads, and returns what is
// inside the answer.
func (s *stranger) command(kind message.Type, inner ...message.Payload) []message.Payload {
	s.w.t.Helper()
	octets, session, err := s.ticket.APReq(s.w.now, 0, nil)
	if err != nil {
		s.w.t.Fatal(err)
	}
	s.xid++
	data, err := seal(&message.Message{Type: kind, XID: s.xid, Payloads: []message.Payload{message.APReq{Epoch: s.epoch, Octets: octets}}}, inner, session)
	if err != nil {
		s.w.t.Fatal(err)
	}
	var list []message.Payload
	for _, m := range s.send(data) {
		if err := session.VerifyMIC(m.Signed(), m.Checksum); err != nil {
			s.w.t.Error("an answer to an authentic command is not authentic: ", m, err)
		}
		inner, err := open(m, session)
		if err != nil {
			s.w.t.Fatal(err)
		}
		list = append(list, inner...)
	}
	return list
}

// offerOf is an SA payload with all that a child offers; every transform has the same SPI.
func offerOf(c *Child, spi kernel.SPI) (isakmp.SA, error) {
	layers := newLayers(c)
	for _, l := range layers {
		l.spiIn = spi
	}
	return offers(c.bundles(0), layers)
}

// quick is Quick Mode payloads as a KINK_ISAKMP payload.
func quick(t *testing.T, list ...isakmp.Payload) message.ISAKMP {
	t.Helper()
	q, err := quickMode(list...)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// said is the error in an answer: a code's name, or a notification's.
func saidIn(t *testing.T, list []message.Payload) string {
	t.Helper()
	var text []string
	for _, p := range list {
		switch p := p.(type) {
		case message.Error:
			text = append(text, p.Code.String())
		case message.KRBError:
			var m KRBErrorMessage
			if err := json.Unmarshal(p.Octets, &m); err != nil {
				t.Fatal(err)
			}
			text = append(text, m.Code.String())
		case message.ISAKMP:
			inner, err := isakmp.Decode(isakmp.PayloadType(p.First), p.Data)
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range inner {
				if n, ok := q.(isakmp.Notify); ok {
					text = append(text, n.Kind.String())
				} else {
					text = append(text, q.Type().String())
				}
			}
		default:
			text = append(text, p.Type().String())
		}
	}
	return strings.Join(text, " ")
}

func answersIn(t *testing.T, list []*message.Message) string {
	t.Helper()
	var text []string
	for _, m := range list {
		text = append(text, saidIn(t, m.Payloads))
	}
	return strings.Join(text, ", ")
}

func TestErrorsInTheClear(t *testing.T) {
	w, _, b := pairOfHosts(t)
	s := w.stranger("192.0.2.1", "", b)
	header := func(kind message.Type) []byte {
		return []byte{byte(kind), 0x10, 0, 16, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0}
	}
	change := func(b []byte, at int, v byte) []byte {
		b[at] = v
		return b
	}
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"version 2", change(header(message.CREATE), 1, 0x20), "KINK_INVMAJ"},
		{"DOI 3", change(header(message.STATUS), 7, 3), "KINK_INVDOI"},
		{"wrong length", change(header(message.DELETE), 3, 200), "KINK_PROTOERR"},
		{"no AP-REQ", header(message.STATUS), "KINK_PROTOERR"},
		{"GETTGT without a name", header(message.GETTGT), "KINK_PROTOERR"},
		{"a REPLY is never answered", change(header(message.REPLY), 1, 0x20), ""},
		{"nor an ACK", header(message.ACK), ""},
		{"nor other types", header(99), ""},
		{"nor a short one", []byte{1, 2, 3}, ""},
	} {
		w.pass(10 * time.Second)
		answers := s.send(c.b)
		if got := answersIn(t, answers); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		for _, m := range answers {
			if m.XID != 9 || len(m.Checksum) != 0 {
				t.Errorf("%s: %v with a checksum of %d", c.name, m, len(m.Checksum))
			}
		}
	}
	get := func(name string) string {
		w.pass(10 * time.Second)
		data, err := message.Encode(&message.Message{Type: message.GETTGT, Payloads: []message.Payload{message.TGTReq{Principal: name}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return answersIn(t, s.send(data))
	}
	if got := get(principal("b")); got != "KINK_TGT_REP" {
		t.Errorf("GETTGT: %s", got)
	}
	if got := get(principal("c")); got != "KRB_AP_ERR_NOT_US" {
		t.Errorf("GETTGT for another principal: %s", got)
	}
	s.from = netip.MustParseAddrPort("198.51.100.9:910")
	if got := get(principal("b")); got != "KINK_U2UDENIED" {
		t.Errorf("GETTGT of a stranger: %s", got)
	}
}

func TestAuthenticatedErrors(t *testing.T) {
	w, _, b := pairOfHosts(t)
	s := w.stranger("192.0.2.1", "a", b)
	nonce := isakmp.Nonce{Data: make([]byte, 16)}
	offer, err := offerOf(b.settings.Remotes[0].Children[0], 0x1000)
	if err != nil {
		t.Fatal(err)
	}
	two := quick(t, offer, nonce)
	two.Version = 0x20
	bundle := isakmp.SA{Proposals: []isakmp.Proposal{offer.Proposals[0], offer.Proposals[0]}}
	id := isakmp.ID{Kind: isakmp.ID_IPV4_ADDR, Data: []byte{192, 0, 2, 1}}
	zeroSPI := isakmp.SA{Proposals: []isakmp.Proposal{offer.Proposals[0]}}
	zeroSPI.Proposals[0].SPI = []byte{0, 0, 0, 1}
	for _, c := range []struct {
		name  string
		kind  message.Type
		inner []message.Payload
		want  string
	}{
		{"Quick Mode 2.0", message.CREATE, []message.Payload{two}, "KINK_BADQMVERS"},
		{"nothing to create", message.CREATE, []message.Payload{}, "KINK_PROTOERR"},
		{"nothing to delete", message.DELETE, []message.Payload{}, "KINK_PROTOERR"},
		{"an error in a command", message.STATUS, []message.Payload{message.Error{Code: 1}}, "KINK_PROTOERR"},
		{"no nonce", message.CREATE, []message.Payload{quick(t, offer)}, "PAYLOAD-MALFORMED"},
		{"no SA", message.CREATE, []message.Payload{quick(t, nonce)}, "PAYLOAD-MALFORMED"},
		{"two nonces", message.CREATE, []message.Payload{quick(t, offer, nonce, nonce)}, "PAYLOAD-MALFORMED"},
		{"one ID", message.CREATE, []message.Payload{quick(t, offer, nonce, id)}, "PAYLOAD-MALFORMED"},
		{"IDs apart", message.CREATE, []message.Payload{quick(t, offer, id, nonce, id)}, "PAYLOAD-MALFORMED"},
		{"a Delete in CREATE", message.CREATE, []message.Payload{quick(t, offer, nonce, isakmp.Delete{Protocol: 3, SPIs: [][]byte{{1, 2, 3, 4}}})}, "PAYLOAD-MALFORMED"},
		{"HASH", message.CREATE, []message.Payload{message.ISAKMP{First: 8, Version: 0x10, Data: []byte{0, 0, 0, 4}}}, "INVALID-PAYLOAD-TYPE"},
		{"a bundle", message.CREATE, []message.Payload{quick(t, bundle, nonce)}, "NO-PROPOSAL-CHOSEN"},
		{"a reserved SPI", message.CREATE, []message.Payload{quick(t, zeroSPI, nonce)}, "NO-PROPOSAL-CHOSEN"},
		{"KE", message.CREATE, []message.Payload{quick(t, offer, nonce, isakmp.KE{Public: make([]byte, 256)})}, "INVALID-PAYLOAD-TYPE"},
		{"an SA that is not there", message.DELETE, []message.Payload{quick(t, isakmp.Delete{Protocol: 3, SPIs: [][]byte{{1, 2, 3, 4}}})}, "INVALID-SPI"},
		{"SA in DELETE", message.DELETE, []message.Payload{quick(t, offer)}, "PAYLOAD-MALFORMED"},
		{"N alone in DELETE", message.DELETE, []message.Payload{quick(t, isakmp.Notify{Kind: isakmp.CONNECTED})}, "PAYLOAD-MALFORMED"},
		{"STATUS with N", message.STATUS, []message.Payload{quick(t, isakmp.Notify{Kind: isakmp.INITIAL_CONTACT})}, ""},
	} {
		w.pass(time.Second)
		if got := saidIn(t, s.command(c.kind, c.inner...)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	offer.Proposals[0].SPI = []byte{0, 0, 0x10, 0}
	if got := saidIn(t, s.command(message.CREATE, quick(t, offer, nonce))); got != "SA" {
		t.Errorf("a good one: %q\n%s", got, b.said())
	}
	// RFC 4430 §3.2: an existing SPI MUST be rejected.
	if got := saidIn(t, s.command(message.CREATE, quick(t, offer, isakmp.Nonce{Data: make([]byte, 20)}))); got != "INVALID-SPI" {
		t.Errorf("the same SPI once more: %q", got)
	}
	if b.e.Counters()["child_sas"] != 1 {
		t.Errorf("%d pairs", b.e.Counters()["child_sas"])
	}
}

func TestOtherPrincipalsGetNothing(t *testing.T) {
	w, a, b := pairOfHosts(t)
	w.create(a)
	var spi []byte
	for _, sa := range b.ups {
		spi = spiOctets(kernel.ESP, sa.Info.SPIOut)
	}
	child := b.settings.Remotes[0].Children[0]
	offer, err := offerOf(child, 0x1000)
	if err != nil {
		t.Fatal(err)
	}
	create := quick(t, offer, isakmp.Nonce{Data: make([]byte, 16)})
	// Another principal of the realm, from a's address.
	c := w.stranger("192.0.2.1", "c", b)
	if got := saidIn(t, c.command(message.CREATE, create)); got != "PAYLOAD-MALFORMED" {
		t.Errorf("CREATE by c: %q", got)
	}
	b.wantReason(reasonNoRemote)
	if got := saidIn(t, c.command(message.DELETE, quick(t, isakmp.Delete{Protocol: 3, SPIs: [][]byte{spi}}))); got != "INVALID-SPI" {
		t.Errorf("DELETE by c: %q", got)
	}
	// The right principal at an address that is not its own.
	far := w.stranger("198.51.100.7", "a", b)
	if got := saidIn(t, far.command(message.CREATE, create)); got != "PAYLOAD-MALFORMED" {
		t.Errorf("CREATE by a from elsewhere: %q", got)
	}
	w.wantPairs(1)
	// Another realm.
	alien := w.stranger("192.0.2.1", "a", b)
	alien.ticket.Client = "kink/a.example.com@EXAMPLE.NET"
	if got := saidIn(t, alien.command(message.CREATE, create)); got != "PAYLOAD-MALFORMED" {
		t.Errorf("CREATE from another realm: %q", got)
	}
	w.wantPairs(1)
}

func TestReplayReflectionAndTampering(t *testing.T) {
	w, a, b := pairOfHosts(t)
	w.create(a)
	sent := slices.Clone(w.sent)
	for _, p := range sent {
		for _, n := range w.nodes { // to its receiver again, and back to its sender
			w.sent = nil
			n.handle(Datagram{Local: netip.AddrPortFrom(n.addr, 910), Remote: p.Local, Data: slices.Clone(p.Data)})
			for _, answer := range w.sent {
				if m, err := message.Decode(answer.Data); err != nil || len(m.Checksum) != 0 {
					t.Errorf("a replay is answered with %v", m)
				}
			}
			w.wire = nil
		}
	}
	b.wantReason(reasonReplay)
	w.wantPairs(1)

	// Every octet of a CREATE changed: no SA, and no answer that is authentic.
	w, a, b = pairOfHosts(t)
	w.filter = func(Send) []Send { return nil }
	w.create(a)
	first := w.sent[0].Data
	for i := range first {
		w.sent = nil
		bad := slices.Clone(first)
		bad[i] ^= 1 << (i % 8)
		w.now = w.now.Add(time.Second) // the limits recover
		b.handle(Datagram{Local: netip.AddrPortFrom(b.addr, 910), Remote: netip.AddrPortFrom(a.addr, 910), Data: bad})
		for _, answer := range w.sent {
			// The lower half of the version octet is ignored but covered by the checksum.
			if m, err := message.Decode(answer.Data); err != nil || len(m.Checksum) != 0 {
				t.Fatalf("octet %d changed: answered with %v", i, m)
			}
		}
	}
	if b.e.Counters()["child_sas"] != 0 || b.e.Counters()[reasonChecksum] == 0 {
		t.Errorf("counters %v", b.e.Counters())
	}
	// And the good one still counts: nothing of it was used up.
	w.filter = nil
	b.handle(Datagram{Local: netip.AddrPortFrom(b.addr, 910), Remote: netip.AddrPortFrom(a.addr, 910), Data: first})
	if b.e.Counters()["child_sas"] != 1 && b.e.Counters()[reasonSkew] == 0 {
		t.Errorf("a tampered copy burned the message:\n%s", b.said())
	}
}

// TestNotCommitted: the replay cache refuses for three reasons, which are told apart. Only
// the peer whose clock is wrong gets an answer, and a full cache costs the peer nothing.
func TestNotCommitted(t *testing.T) {
	for _, c := range []struct {
		code    KRBCode
		reason  string
		answers int // authenticated ones, to each sending
		charged bool
	}{
		{KRB_AP_ERR_REPEAT, reasonReplay, 0, true},
		{KRB_AP_ERR_SKEW, reasonSkew, 1, true},
		{KRB_ERR_GENERIC, reasonReplayCache, 0, false},
	} {
		w, a, b := pairOfHosts(t)
		b.krb.commit = &KRBError{Code: c.code, Reason: "as the test wants"}
		w.create(a)
		commands, answers := 0, 0
		for _, p := range w.sent {
			if m, err := message.Decode(p.Data); err != nil {
				t.Fatal(err)
			} else if m.Type == message.CREATE {
				commands++
			} else if len(m.Checksum) > 0 {
				answers++
			}
		}
		if commands == 0 || answers != c.answers*commands {
			t.Errorf("%v: %d commands, %d answers", c.code, commands, answers)
		}
		b.wantReason(c.reason)
		if n := b.e.Counters()["child_sas"]; n != 0 {
			t.Errorf("%v: %d pairs", c.code, n)
		}
		level := b.e.strangers.of(w.now, a.addr).level(w.now)
		if (level < 2*strangerRate) != c.charged {
			t.Errorf("%v: the source has %v tokens", c.code, level)
		}
		b.krb.commit = nil
		w.pass(2 * time.Minute)
		if c.code == KRB_ERR_GENERIC && b.e.Counters()["child_sas"] == 0 {
			w.create(a)
			w.wantPairs(1)
		}
	}
}

// TestForgedErrors sends all errors that anybody can make while a waits: none ends
// the transaction.
func TestForgedErrors(t *testing.T) {
	w, a, b := pairOfHosts(t)
	var held []Send
	w.filter = func(p Send) []Send {
		if p.Remote.Addr() == b.addr {
			held = append(held, p)
			return nil
		}
		return []Send{p}
	}
	w.create(a)
	xid := held[0].Data[8:12]
	forge := func(from string, p message.Payload) {
		data, err := message.Encode(&message.Message{Type: message.REPLY, Payloads: []message.Payload{p}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		copy(data[8:], xid)
		a.handle(Datagram{Local: netip.AddrPortFrom(a.addr, 910), Remote: netip.MustParseAddrPort(from), Data: data})
	}
	for code := message.ErrorCode(0); code < 9; code++ {
		forge("192.0.2.2:910", message.Error{Code: code})
	}
	for _, code := range []KRBCode{KRB_AP_ERR_SKEW, KRB_AP_ERR_TKT_EXPIRED, KRB_AP_ERR_NOT_US, KRB_AP_ERR_REPEAT, KRB_AP_ERR_MODIFIED} {
		b, err := json.Marshal(KRBErrorMessage{Code: code, STime: w.now.Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		forge("192.0.2.2:910", message.KRBError{Octets: b})
	}
	forge("192.0.2.2:910", message.KRBError{Octets: []byte("no KRB-ERROR")})
	forge("192.0.2.2:910", message.TGTRep{Ticket: []byte("a TGT")})
	forge("198.51.100.1:910", message.Error{Code: message.KINK_PROTOERR})
	if len(a.failures) != 0 || a.e.peers[principal("b")].offset != 0 {
		t.Errorf("failures %v, offset %v", a.failures, a.e.peers[principal("b")].offset)
	}
	w.filter = nil
	w.wire = append(w.wire, held...)
	w.settle()
	w.wantPairs(1)
	if n := a.e.Counters()[reasonUnprotected]; n < 10 {
		t.Errorf("%d forged errors counted", n)
	}
}

func TestRateLimit(t *testing.T) {
	w, a, b := pairOfHosts(t)
	s := w.stranger("203.0.113.5", "", b)
	junk, err := message.Encode(&message.Message{Type: message.CREATE, Payloads: []message.Payload{message.APReq{Octets: []byte("{}")}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	answers := 0
	for range 1000 {
		answers += len(s.send(slices.Clone(junk)))
	}
	if answers > 2*strangerRate {
		t.Errorf("%d answers to 1000 datagrams at once", answers)
	}
	b.wantReason(reasonRateLimit)
	w.create(a) // others are not concerned
	w.wantPairs(1)
	// A stranger that borrows a's address does not lock a out.
	s.from = netip.AddrPortFrom(a.addr, 4000)
	for range 100 {
		s.send(slices.Clone(junk))
	}
	w.expireSoft(a)
	w.pass(11 * time.Second)
	w.wantPairs(1)
	if a.e.Counters()[reasonChildRekeyed] != 1 || strings.Count(w.ladder(), "CREATE") > 1 {
		t.Errorf("a is locked out:\n%s", w.ladder())
	}
	// Many sources together are bounded, too.
	w, _, b = pairOfHosts(t)
	for i := range 10000 {
		s.to, s.w = b, w
		s.from = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 910)
		s.send(slices.Clone(junk))
	}
	if n := len(b.e.strangers.sources); n > maxStrangers {
		t.Errorf("%d sources remembered", n)
	}
}

func TestOnePrincipalCannotFillTheTable(t *testing.T) {
	w, _, b := pairOfHosts(t)
	s := w.stranger("192.0.2.1", "a", b)
	for range 3 * maxAnswers {
		s.command(message.STATUS)
	}
	if n := len(b.e.incoming); n > maxAnswers || n != len(b.e.answersOf[principal("a")]) {
		t.Errorf("%d answers kept", n)
	}
	w.pass(2 * keepAnswers)
	if len(b.e.incoming) != 0 || len(b.e.answersOf) != 0 {
		t.Errorf("%d answers kept for ever", len(b.e.incoming))
	}
}

// TestUnusableAnswers lets b answer a's CREATE with what RFC 4430 does not allow.
func TestUnusableAnswers(t *testing.T) {
	nr := isakmp.Nonce{Data: make([]byte, 16)}
	for _, c := range []struct {
		name   string
		change func(*isakmp.SA) []isakmp.Payload
		want   string
	}{
		{"a higher lifetime", func(sa *isakmp.SA) []isakmp.Payload {
			at := &sa.Proposals[0].Transforms[0].Attributes[1]
			at.Value = []byte{0xff, 0xff}
			return []isakmp.Payload{*sa}
		}, "a lifetime is higher"},
		{"a transform that was not offered", func(sa *isakmp.SA) []isakmp.Payload {
			sa.Proposals[0].Transforms[0].ID = isakmp.ESP_AES_GCM_12
			return []isakmp.Payload{*sa}
		}, "was not offered"},
		{"two proposals", func(sa *isakmp.SA) []isakmp.Payload {
			sa.Proposals = append(sa.Proposals, sa.Proposals[0])
			return []isakmp.Payload{*sa}
		}, "and this selector has PROTO_IPSEC_ESP"},
		{"no SA", func(*isakmp.SA) []isakmp.Payload { return []isakmp.Payload{nr} }, "no SA payload"},
		{"a KE", func(sa *isakmp.SA) []isakmp.Payload { return []isakmp.Payload{*sa, isakmp.KE{Public: []byte{1}}} }, "was not asked for"},
		{"other IDs", func(sa *isakmp.SA) []isakmp.Payload {
			id := isakmp.ID{Kind: isakmp.ID_IPV4_ADDR, Data: []byte{1, 2, 3, 4}}
			return []isakmp.Payload{*sa, id, id}
		}, "other IDs"},
		{"a bad SPI", func(sa *isakmp.SA) []isakmp.Payload {
			sa.Proposals[0].SPI = []byte{1}
			return []isakmp.Payload{*sa}
		}, "is none"},
		{"an unknown error", func(*isakmp.SA) []isakmp.Payload { return []isakmp.Payload{isakmp.Notify{Kind: 9000}} }, "NotifyType(9000)"},
		{"an unknown status", func(sa *isakmp.SA) []isakmp.Payload { return []isakmp.Payload{*sa, isakmp.Notify{Kind: 40000}} }, ""},
	} {
		w, a, b := pairOfHosts(t)
		w.filter = func(p Send) []Send {
			if p.Remote.Addr() != a.addr || message.Type(p.Data[0]) != message.REPLY {
				return []Send{p}
			}
			return []Send{w.rewrite(p, a, c.change)}
		}
		w.create(a)
		w.filter = nil
		w.pass(20 * time.Second)
		if c.want == "" {
			w.wantPairs(1)
			continue
		}
		if len(a.failures) != 1 || !strings.Contains(a.failures[0].Reason, c.want) {
			t.Errorf("%s: failures %v, want %q\n%s", c.name, a.failures, c.want, b.said())
		}
		if n := a.e.Counters()["child_sas"]; n != 0 {
			t.Errorf("%s: a has %d pairs", c.name, n)
		}
	}
}

// rewrite changes the Quick Mode payloads of a REPLY to a's first CREATE.
func (w *world) rewrite(p Send, a *node, change func(*isakmp.SA) []isakmp.Payload) Send {
	w.t.Helper()
	m, err := message.Decode(p.Data)
	if err != nil {
		w.t.Fatal(err)
	}
	s := &testSession{key: a.krb.cache[principal("b")].key}
	inner, err := open(m, s)
	if err != nil {
		w.t.Fatal(err)
	}
	q, ok := inner[0].(message.ISAKMP)
	if !ok || q.First != byte(isakmp.PayloadSA) {
		return p
	}
	list, err := isakmp.Decode(isakmp.PayloadType(q.First), q.Data)
	if err != nil {
		w.t.Fatal(err)
	}
	sa := list[0].(isakmp.SA)
	m.Payloads = m.Payloads[:1]
	if p.Data, err = seal(m, []message.Payload{quick(w.t, change(&sa)...)}, s); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// FuzzDatagram gives an engine with an SA pair whatever octets there are, with the
// sender's checksum put right, so that all of the engine is reached.
func FuzzDatagram(f *testing.F) {
	for kind := range byte(8) {
		f.Add(kind, uint32(1), []byte{0, 0, 0, 0})
		f.Add(kind, uint32(1), []byte{6, 0, 0, 0, 0, 0, 0, 16, 12, 0x10, 0, 0, 0, 0, 0, 4})
		f.Add(kind, uint32(1), []byte{6, 0, 0, 0, 0, 0, 0, 28, 12, 0x10, 0, 0, 0, 0, 0, 16, 0, 0, 0, 1, 3, 4, 0, 1, 1, 2, 3, 4})
		f.Add(kind, uint32(1), []byte{8, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1})
	}
	offer, err := offerOf(&Child{Mode: kernel.Transport, Proposals: []Proposal{gcm, cbc}}, 0x1234)
	if err != nil {
		f.Fatal(err)
	}
	q, err := quickMode(offer, isakmp.Nonce{Data: make([]byte, 16)})
	if err != nil {
		f.Fatal(err)
	}
	good, err := message.EncodeInner([]message.Payload{q})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(byte(message.CREATE), uint32(9), good)
	f.Fuzz(func(t *testing.T, kind byte, xid uint32, inner []byte) {
		w, a, b := pairOfHosts(t)
		w.create(a)
		ticket := a.krb.cache[principal("b")]
		octets, s, err := ticket.APReq(w.now, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		cipher, err := s.Encrypt(inner)
		if err != nil {
			t.Fatal(err)
		}
		payloads := []message.Payload{message.APReq{Epoch: 1, Octets: octets}, message.Encrypt{Ciphertext: cipher}}
		if message.Type(kind) == message.REPLY {
			rep, _ := s.(*testSession).APRep(w.now, nil)
			payloads[0] = message.APRep{Epoch: 1, Octets: rep}
		}
		data, err := message.Encode(&message.Message{Type: message.Type(kind), XID: xid, Payloads: payloads}, s.MIC)
		if err != nil {
			return
		}
		for _, n := range []*node{a, b} {
			n.handle(Datagram{Local: netip.AddrPortFrom(n.addr, 910), Remote: netip.MustParseAddrPort("192.0.2.1:910"), Data: bytes.Clone(data)})
			n.handle(Datagram{Local: netip.AddrPortFrom(n.addr, 910), Remote: netip.MustParseAddrPort("192.0.2.1:910"), Data: bytes.Clone(inner)})
		}
		w.settle()
		w.pass(5 * time.Minute)
		if n := len(b.e.incoming) + len(b.e.outgoing); n > 8 {
			t.Errorf("%d transactions left", n)
		}
	})
}

// BenchmarkCreate is both ends of a two-way CREATE and its DELETE, Kerberos aside.
func BenchmarkCreate(b *testing.B) {
	t := &testing.T{}
	w := newWorld(t)
	a := w.add("a", "192.0.2.1", settingsFor("a", "192.0.2.1", "b", "192.0.2.2"))
	w.add("b", "192.0.2.2", settingsFor("b", "192.0.2.2", "a", "192.0.2.1"))
	for b.Loop() {
		a.handle(Initiate{Remote: "b", Child: "out"})
		w.settle()
		a.handle(Terminate{})
		w.settle()
		w.pass(11 * time.Second)
		w.sent, a.traces = nil, nil
	}
}

// TestSameSeedSameRun runs the same weather twice.
func TestSameSeedSameRun(t *testing.T) {
	run := func() string {
		rng := rand.New(rand.NewPCG(1, 2))
		w, a, b := pairOfHosts(t, func(r *Remote, _ *Child) { r.ThreeWay = true })
		w.filter = func(p Send) []Send {
			if rng.IntN(3) == 0 {
				return nil
			}
			return []Send{p}
		}
		for range 5 {
			w.create(a)
			w.pass(time.Minute)
			b.handle(Terminate{})
			w.settle()
		}
		return w.ladder() + fmt.Sprint(a.e.Counters(), b.e.Counters()) + a.said() + b.said()
	}
	if one, two := run(), run(); one != two {
		t.Errorf("two runs differ:\n%s\n%s", one, two)
	}
}

// TestErrorWithAChecksumAlone is a KRB-ERROR of a responder that knows the key and
// makes no AP-REP (RFC 4430 §4.2.3): it counts where it echoes our time.
func TestErrorWithAChecksumAlone(t *testing.T) {
	for _, echo := range []bool{true, false} {
		w, a, b := pairOfHosts(t)
		b.offset = time.Hour
		b.boot()
		w.filter = func(p Send) []Send {
			m, err := message.Decode(p.Data)
			if err != nil || m.Type != message.REPLY || w.nodes[0].e.peers[principal("b")].offset != 0 {
				return []Send{p}
			}
			s := &testSession{key: a.krb.cache[principal("b")].key}
			inner, err := open(m, s)
			if err != nil {
				t.Fatal(err)
			}
			if krb, ok := inner[0].(message.KRBError); ok && !echo {
				var said KRBErrorMessage
				_ = json.Unmarshal(krb.Octets, &said)
				said.CTime = said.CTime.Add(time.Second)
				octets, _ := json.Marshal(said)
				inner[0] = message.KRBError{Octets: octets}
			}
			m.Payloads = inner
			if p.Data, err = message.Encode(m, s.MIC); err != nil {
				t.Fatal(err)
			}
			return []Send{p}
		}
		w.create(a)
		want := 0
		if echo {
			want = 1
		} else {
			a.wantReason(reasonStaleReply)
			w.pass(time.Minute)
		}
		w.wantPairs(want)
	}
}
