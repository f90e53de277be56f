package dns

import (
	"net/netip"
	"testing"

	mdns "github.com/miekg/dns"

	"racoon2/resolver"
)

// queries are what FuzzQuery starts from.
func queries(t testing.TB) [][]byte {
	t.Helper()
	base := func() *mdns.Msg { return new(mdns.Msg).SetQuestion("wWw.example.com.", mdns.TypeA) }
	var out [][]byte
	for _, edit := range []func(*mdns.Msg){
		func(*mdns.Msg) {},
		func(m *mdns.Msg) { m.SetEdns0(1232, true) },
		func(m *mdns.Msg) { m.SetEdns0(100, false); m.CheckingDisabled, m.AuthenticatedData = true, true },
		func(m *mdns.Msg) {
			m.SetEdns0(4096, false)
			m.IsEdns0().Option = []mdns.EDNS0{&mdns.EDNS0_COOKIE{Code: mdns.EDNS0COOKIE, Cookie: "0102030405060708"}}
		},
		func(m *mdns.Msg) { m.SetEdns0(512, false); m.IsEdns0().SetVersion(3) },
		func(m *mdns.Msg) { m.SetEdns0(512, false); m.Extra = append(m.Extra, m.Extra[0]) },
		func(m *mdns.Msg) { m.Extra = []mdns.RR{rr(t, "www.example.com. 1 IN A 192.0.2.1")}; m.Compress = true },
		func(m *mdns.Msg) { m.Question[0].Qtype = mdns.TypeANY },
		func(m *mdns.Msg) { m.Question[0].Qtype = mdns.TypeAXFR },
		func(m *mdns.Msg) { m.Question[0].Qtype = 0 },
		func(m *mdns.Msg) { m.Question[0].Qclass = mdns.ClassCHAOS },
		func(m *mdns.Msg) { m.RecursionDesired = false },
		func(m *mdns.Msg) { m.Response = true },
		func(m *mdns.Msg) { m.Opcode = mdns.OpcodeNotify },
		func(m *mdns.Msg) { m.Question = nil },
		func(m *mdns.Msg) { m.Question = append(m.Question, m.Question[0]) },
		func(m *mdns.Msg) { m.Question[0].Name = "1.0.0.127.in-addr.arpa."; m.Question[0].Qtype = mdns.TypePTR },
	} {
		m := base()
		edit(m)
		octets, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, octets)
	}
	good := out[1]
	return append(out, nil, good[:11], good[:20], good[:len(good)-3], append(append([]byte{}, good...), 0),
		append(append([]byte{}, good[:12]...), 0xc0, 0x0c, 0, 1, 0, 1))
}

// FuzzQuery feeds messages of clients: nothing panics, and every answer that is
// made is a message that answers this question and fits.
func FuzzQuery(f *testing.F) {
	for _, q := range queries(f) {
		f.Add(q)
	}
	octets := goodAnswer(f)
	f.Fuzz(func(t *testing.T, msg []byte) {
		var q query
		verdict, code := q.parse(msg, nil)
		var reply []byte
		switch verdict {
		case ignored:
			return
		case rejected:
			reply = q.bare(nil, code, 0)
		case short:
			reply = q.shortAny(nil)
		case accepted:
			for _, r := range []resolver.Reply{
				{Question: q.question, Octets: octets},
				{Question: q.question, RCode: resolver.ServFail},
				{Question: q.question, Local: true, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}},
				{Question: q.question, Local: true, Names: []string{"www.example.com."}},
			} {
				if r.Addresses != nil && q.question.Type != mdns.TypeA || r.Names != nil && q.question.Type != mdns.TypePTR {
					continue
				}
				reply = q.respond(nil, &r, ttlRange{5, 86400}, q.size)
				checkReply(t, &q, msg, reply)
			}
			return
		}
		checkReply(t, &q, msg, reply)
	})
}

func checkReply(t *testing.T, q *query, msg, reply []byte) {
	t.Helper()
	if len(reply) > maxUDP+maxQuery {
		t.Fatalf("an answer of %d octets", len(reply))
	}
	var m mdns.Msg
	if err := m.Unpack(reply); err != nil {
		t.Fatalf("%x is answered with %x: %v", msg, reply, err)
	}
	if m.Id != q.id || !m.Response || (m.IsEdns0() != nil) != q.edns || len(m.Question) > 1 {
		t.Fatalf("%x is answered with %v", msg, &m)
	}
}

// goodAnswer is the packed answer of an upstream.
func goodAnswer(t testing.TB) []byte {
	t.Helper()
	q := resolver.Question{Name: "www.example.com.", Type: mdns.TypeA}
	a, err := convert(answersOf(t)[0], q)
	if err != nil {
		t.Fatal(err)
	}
	return a.Octets
}

// answersOf are what FuzzAnswer starts from: answers to www.example.com A.
func answersOf(t testing.TB) [][]byte {
	t.Helper()
	var out [][]byte
	soa := "example.com. 300 IN SOA ns.example.com. root.example.com. 1 2 3 4 60"
	for _, c := range []struct {
		rcode  int
		answer []string
		ns     []string
		edit   func(*mdns.Msg)
	}{
		{0, []string{"www.example.com. 300 IN A 192.0.2.1", "www.example.com. 300 IN A 192.0.2.2"}, nil, nil},
		{0, []string{"www.example.com. 300 IN CNAME a.example.com.", "a.example.com. 30 IN A 192.0.2.1"}, nil, nil},
		{0, []string{"www.example.com. 300 IN CNAME a.b.net.", "b.net. 9 IN DNAME c.net.", "a.b.net. 9 IN CNAME a.c.net.", "a.c.net. 30 IN A 192.0.2.1"}, nil, nil},
		{0, []string{"www.example.com. 300 IN CNAME a.", "a. 30 IN CNAME www.example.com."}, nil, nil},
		{0, []string{"www.example.com. 300 IN CNAME a.", "www.example.com. 300 IN CNAME b."}, nil, nil},
		{0, nil, []string{soa, "example.com. 9 IN NS ns.example.com."}, nil},
		{3, nil, []string{soa, "a.example.com. 9 IN NSEC z.example.com. A"}, nil},
		{3, nil, nil, nil},
		{2, nil, nil, nil},
		{0, []string{"evil.example.net. 300 IN A 192.0.2.66", "www.example.com. 4294967295 IN A 192.0.2.1"}, nil, nil},
		{0, []string{`www.example.com. 300 IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1`}, nil, nil},
		{0, []string{"www.example.com. 300 CH A 192.0.2.66"}, nil, nil},
		{0, nil, nil, func(m *mdns.Msg) { m.SetEdns0(1232, true); m.Rcode = mdns.RcodeBadVers }},
		{0, nil, nil, func(m *mdns.Msg) { m.Truncated = true }},
		{0, []string{"www.example.com. 300 IN A 192.0.2.1"}, nil, func(m *mdns.Msg) {
			m.AuthenticatedData = true
			m.Answer = append(m.Answer, rr(t, "www.example.com. 300 IN RRSIG A 8 3 300 20300101000000 20200101000000 1 example.com. AAAA"))
		}},
	} {
		m := new(mdns.Msg).SetQuestion("www.example.com.", mdns.TypeA)
		m.Response, m.Rcode = true, c.rcode
		for _, s := range c.answer {
			m.Answer = append(m.Answer, rr(t, s))
		}
		for _, s := range c.ns {
			m.Ns = append(m.Ns, rr(t, s))
		}
		if c.edit != nil {
			c.edit(m)
		}
		octets, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, octets)
	}
	return append(out, nil, out[0][:12], out[0][:40])
}

// FuzzAnswer feeds messages of upstreams: nothing panics, what is kept of them
// is a message, converting that again gives the same, and clients get no record
// that has nothing to do with the question.
func FuzzAnswer(f *testing.F) {
	for _, a := range answersOf(f) {
		f.Add(a, false, uint8(0))
		f.Add(a, true, uint8(1))
		f.Add(a, true, uint8(2))
	}
	types := []uint16{mdns.TypeA, mdns.TypeAAAA, mdns.TypeHTTPS, mdns.TypeCNAME}
	f.Fuzz(func(t *testing.T, msg []byte, do bool, kind uint8) {
		q := resolver.Question{Name: "www.example.com.", Type: types[int(kind)%len(types)], DNSSECOK: do}
		a, err := convert(msg, q)
		if err != nil || a.Octets == nil {
			return
		}
		if len(a.Chain) == 0 || a.Chain[0] != q.Name || len(a.Chain) > maxChain+1 {
			t.Fatalf("chain %v", a.Chain)
		}
		if len(a.Octets) > maxMessage {
			t.Fatalf("%d octets", len(a.Octets))
		}
		again, err := convert(a.Octets, q)
		if err != nil {
			t.Fatalf("%x is not stable: %v", a.Octets, err)
		}
		if again.TTL != a.TTL || len(again.Addresses) != len(a.Addresses) || len(again.Chain) != len(a.Chain) || again.RCode != a.RCode {
			t.Fatalf("%+v, then %+v", a, again)
		}
		aged := append([]byte{}, a.Octets...)
		age(aged, 10, false, ttlRange{5, 60})
		var m mdns.Msg
		if err := m.Unpack(aged); err != nil {
			t.Fatalf("%x: %v", aged, err)
		}
		for _, r := range m.Answer {
			if r.Header().Ttl > 50 {
				t.Fatalf("TTL %d", r.Header().Ttl)
			}
		}
	})
}
